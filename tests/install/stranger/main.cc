// A program of someone who has the installed library and nothing else of the project.
#include <foretoken/foretoken.h>

#include <cstdio>

int main() {
  foretoken::TenantConfig tenant;
  tenant.name = "stranger";
  tenant.target.id = "nowhere";
  tenant.target.path = "no/such/file.gguf";
  const foretoken::Status valid = foretoken::Validate(tenant);
  std::printf("validate: %s\n", valid.ToString().c_str());

  foretoken::GenerateOptions options;
  options.max_tokens = 0;
  const foretoken::Status invalid = foretoken::Validate(options);
  std::printf("options: %s\n", std::string(foretoken::StatusCodeName(invalid.code())).c_str());

  auto manager = foretoken::RuntimeManager::Create();
  if (!manager.ok()) {
    std::printf("create: %s\n", manager.status().ToString().c_str());
    return 1;
  }
  std::printf("tenants: %zu\n", (*manager)->TenantNames().size());
  const auto runtime = (*manager)->AddTenant(tenant);
  std::printf("missing model: %s\n", runtime.ok() ? "accepted" : "refused");
  return 0;
}
