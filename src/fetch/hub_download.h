#ifndef FORETOKEN_FETCH_HUB_DOWNLOAD_H_
#define FORETOKEN_FETCH_HUB_DOWNLOAD_H_

#include <string>

#include "fetch/fetch_observer.h"
#include "fetch/http_download.h"
#include "fetch/part_file.h"
#include "foretoken/status.h"

namespace foretoken {

struct HubOptions {
  std::string url = "https://huggingface.co";  // without a slash at the end
  std::string token;                           // for private files; empty: none
  HttpOptions http;
};

// The defaults, with FORETOKEN_HUB_URL or HF_ENDPOINT (a mirror), HF_TOKEN, and CURL_CA_BUNDLE or
// SSL_CERT_FILE from the environment.
HubOptions HubOptionsFromEnvironment();

struct HubFile {
  std::string repository;  // "OWNER/REPO"
  std::string file;        // path inside the repository
};

// "hf:OWNER/REPO/FILE" and nothing else; INVALID_ARGUMENT says what is wrong.
Result<HubFile> ParseHubFile(const std::string& text);
std::string HubFileUrl(const HubFile& file, const HubOptions& options);

// Completes `part` from the hub and returns the SHA-256 that the hub promises for the file (empty
// when it promises none). `sha256` is the expected one, empty when unknown: then a part file is
// resumed only if the hub still has the same content, by the validator kept in PART.etag.
// DATA_LOSS when the hub's size or promised hash is not the expected one, before content is read.
Result<std::string> FetchFromHub(const HubFile& file, const std::string& sha256,
                                 const HubOptions& options, const FetchObserver& observer,
                                 PartFile& part);
// Removes what FetchFromHub keeps beside a part file that is gone.
void RemoveHubState(const std::string& part_path);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_HUB_DOWNLOAD_H_
