#ifndef FORETOKEN_UNIT_TENANCY_FAKE_RUNTIME_H_
#define FORETOKEN_UNIT_TENANCY_FAKE_RUNTIME_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "foretoken/runtime_manager.h"
#include "testing/fake_model.h"

namespace foretoken {

// A manager over fake models, each loaded once as the weight store would.
struct FakeRuntime {
  FakeRuntime(const RuntimeOptions& options,
              const std::map<std::string, FakeModelOptions>& models) {
    std::map<std::string, FakeLoader::Factory> factories;
    for (const auto& [path, model_options] : models) {
      auto control = std::make_shared<FakeControl>();
      controls[path] = control;
      factories[path] = [model = NewFakeModel(model_options, control)] { return model; };
    }
    auto owned = std::make_unique<FakeLoader>(std::move(factories));
    loader = owned.get();
    manager = RuntimeManager::Create(options, std::move(owned)).value();
  }

  std::map<std::string, std::shared_ptr<FakeControl>> controls;
  FakeLoader* loader = nullptr;
  std::unique_ptr<RuntimeManager> manager;
};

inline TenantConfig FakeTenant(const std::string& name, const std::string& target,
                               const std::string& draft = "") {
  TenantConfig config;
  config.name = name;
  config.target = {.id = target, .path = target};
  if (!draft.empty()) config.draft_model = ModelConfig{.id = draft, .path = draft};
  config.speculation.mode = SpeculationMode::kFixed;
  return config;
}

inline GenerateRequest FakeRequest(int32_t max_tokens = 12) {
  GenerateRequest request;
  request.prompt = std::string("hello");
  request.options.max_tokens = max_tokens;
  request.options.sampling.seed = 4;
  request.options.ignore_end_of_text = true;
  return request;
}

// Text that the fake vocabulary turns into these tokens, end of text excluded: what a client would
// send as its prediction of an answer.
inline std::string TextOf(const std::vector<GeneratedToken>& tokens) {
  std::string text;
  for (const GeneratedToken& token : tokens) {
    // 60 leaves no rest by 15, the tokens of a vocabulary of 16 without the end of text.
    text += static_cast<char>(60 + token.id - 1);
  }
  return text;
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_TENANCY_FAKE_RUNTIME_H_
