#ifndef FORETOKEN_FETCH_HTTP_DOWNLOAD_H_
#define FORETOKEN_FETCH_HTTP_DOWNLOAD_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "fetch/fetch_observer.h"
#include "foretoken/status.h"

namespace foretoken {

struct HttpOptions {
  // > 0; a server that has sent nothing after this long, from the look-up of its name on, is given
  // up for good.
  int64_t answer_timeout_ms = 3000;
  // > 0; a connection that has been silent for this long is broken.
  int64_t stall_timeout_ms = 30000;
  int32_t attempts = 5;      // >= 1; connections in a row that bring no byte before giving up
  int64_t backoff_ms = 500;  // >= 0; before the second attempt; doubles up to 8 s
  std::string ca_file;       // PEM file of trusted certificates; empty: the system's
};

struct HttpRequest {
  std::string url;
  // Sent to the host of `url` only: not to where it redirects, and not unencrypted over a network.
  std::string bearer_token;
};

// The head of an answer that brings content.
struct HttpResponse {
  uint64_t offset = 0;                  // of the first byte that follows; 0 or the sink's
  std::optional<uint64_t> total_bytes;  // of the whole content
  std::string etag;                     // strong validator of the content; may be empty
  // What a hub says about the content at the end of its redirects; may be empty or absent.
  std::string linked_etag;
  std::optional<uint64_t> linked_bytes;
};

// Takes the content. Called on the downloading thread; an error from it ends the download and is
// what the download returns.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  // Where to go on.
  virtual uint64_t offset() const = 0;
  // The validator that came with the bytes before offset(); empty: none.
  virtual std::string etag() const = 0;
  // Before the content of every connection. `response.offset` 0 means: from the beginning.
  virtual Status Begin(const HttpResponse& response) = 0;
  virtual Status Append(std::span<const char> data) = 0;
};

// Fetches `request.url` into `sink`, following redirects (never from HTTPS to HTTP) and going on
// where a broken connection ended. UNAVAILABLE: no answer, or broken again and again; NOT_FOUND;
// PERMISSION_DENIED: 401 or 403, or a certificate that is not trusted; CANCELLED.
Status HttpDownload(const HttpRequest& request, const HttpOptions& options,
                    const FetchObserver& observer, HttpSink& sink);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_HTTP_DOWNLOAD_H_
