#include "fetch/hub_download.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/macros.h"
#include "model/model_catalogue.h"

namespace foretoken {
namespace {

std::string FirstOf(std::initializer_list<const char*> variables, std::string otherwise) {
  for (const char* variable : variables) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return value;
  }
  return otherwise;
}

// Keeps the slashes between the steps of a path.
std::string EncodePath(std::string_view path) {
  std::string encoded;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~/").find(c) != std::string_view::npos) {
      encoded.push_back(c);
    } else {
      encoded += fmt::format("%{:02X}", byte);
    }
  }
  return encoded;
}

std::string EtagPath(const std::string& part_path) {
  return part_path + ".etag";
}

std::string ReadEtag(const std::string& part_path) {
  std::ifstream file(EtagPath(part_path), std::ios::binary);
  std::string etag;
  std::getline(file, etag);
  return etag;
}

class HubSink : public HttpSink {
 public:
  HubSink(std::string sha256, const FetchObserver& observer, PartFile& part)
      : sha256_(std::move(sha256)),
        observer_(observer),
        part_(part),
        etag_(sha256_.empty() ? ReadEtag(part.path()) : "") {}

  uint64_t offset() const override { return part_.bytes(); }
  // A known hash makes the same prefix good whoever sent it; If-Range would only throw it away.
  std::string etag() const override { return sha256_.empty() ? etag_ : ""; }

  Status Begin(const HttpResponse& response) override {
    const std::optional<uint64_t> total =
        response.total_bytes ? response.total_bytes : response.linked_bytes;
    if (expected_bytes_known_ && total && *total != part_.expected_bytes()) {
      return DataLossError(
          fmt::format("the hub's file has {} bytes, not {}", *total, part_.expected_bytes()));
    }
    if (!sha256_.empty() && IsSha256(response.linked_etag) && response.linked_etag != sha256_) {
      return DataLossError(
          fmt::format("the hub's file has the SHA-256 {}, not {}", response.linked_etag, sha256_));
    }
    if (IsSha256(response.linked_etag)) promised_sha256_ = response.linked_etag;
    if (response.offset == 0 && part_.bytes() > 0) {
      observer_.Notice("the server sends the file from its beginning");
      FORETOKEN_RETURN_IF_ERROR(part_.Restart());
    }
    if (!expected_bytes_known_) {
      part_.set_expected_bytes(total.value_or(0));
      etag_ = response.etag;
      // Losing it costs the resume, nothing else.
      std::ofstream(EtagPath(part_.path()), std::ios::binary) << etag_ << '\n';
    }
    return part_.CheckRoom(0);
  }

  Status Append(std::span<const char> data) override {
    FORETOKEN_RETURN_IF_ERROR(part_.Append(data));
    observer_.Progress(part_.bytes(), part_.expected_bytes());
    return OkStatus();
  }

  const std::string& promised_sha256() const { return promised_sha256_; }

 private:
  const std::string sha256_;
  const FetchObserver& observer_;
  PartFile& part_;
  const bool expected_bytes_known_ = part_.expected_bytes() != 0;
  std::string etag_;
  std::string promised_sha256_;
};

}  // namespace

HubOptions HubOptionsFromEnvironment() {
  HubOptions options;
  options.url = FirstOf({"FORETOKEN_HUB_URL", "HF_ENDPOINT"}, options.url);
  while (options.url.ends_with('/')) options.url.pop_back();
  options.token = FirstOf({"HF_TOKEN"}, "");
  options.http.ca_file = FirstOf({"CURL_CA_BUNDLE", "SSL_CERT_FILE"}, "");
  return options;
}

Result<HubFile> ParseHubFile(const std::string& text) {
  constexpr std::string_view kForm = "it must be hf:OWNER/REPO/FILE.gguf";
  std::string_view rest = text;
  if (!rest.starts_with("hf:")) return InvalidArgumentError(fmt::format("'{}': {}", text, kForm));
  rest.remove_prefix(3);
  const size_t owner_end = rest.find('/');
  const size_t repo_end =
      owner_end == std::string_view::npos ? owner_end : rest.find('/', owner_end + 1);
  if (repo_end == std::string_view::npos || !rest.ends_with(".gguf")) {
    return InvalidArgumentError(fmt::format("'{}': {}", text, kForm));
  }
  for (size_t begin = 0; begin <= rest.size();) {
    const size_t end = std::min(rest.find('/', begin), rest.size());
    const std::string_view step = rest.substr(begin, end - begin);
    if (step.empty() || step == "." || step == "..") {
      return InvalidArgumentError(
          fmt::format("'{}' has an empty or relative step: {}", text, kForm));
    }
    begin = end + 1;
  }
  return HubFile{std::string(rest.substr(0, repo_end)), std::string(rest.substr(repo_end + 1))};
}

std::string HubFileUrl(const HubFile& file, const HubOptions& options) {
  return fmt::format("{}/{}/resolve/main/{}", options.url, EncodePath(file.repository),
                     EncodePath(file.file));
}

Result<std::string> FetchFromHub(const HubFile& file, const std::string& sha256,
                                 const HubOptions& options, const FetchObserver& observer,
                                 PartFile& part) {
  HubSink sink(sha256, observer, part);
  // Without a known hash nor a validator nobody can say that the rest belongs to the beginning.
  if (sha256.empty() && part.bytes() > 0 && sink.etag().empty()) {
    FORETOKEN_RETURN_IF_ERROR(part.Restart());
  }
  if (part.bytes() > 0) {
    observer.Notice(fmt::format("resuming after {}", FormatBytes(part.bytes())));
  }
  FORETOKEN_RETURN_IF_ERROR(
      HttpDownload({HubFileUrl(file, options), options.token}, options.http, observer, sink));
  return sink.promised_sha256();
}

void RemoveHubState(const std::string& part_path) {
  unlink(EtagPath(part_path).c_str());
}

}  // namespace foretoken
