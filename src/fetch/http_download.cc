#include "fetch/http_download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "base/macros.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(50);

struct EasyFree {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiFree {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct CurlFree {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  void operator()(char* text) const { curl_free(text); }
};

bool CurlReady() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

std::string UrlPart(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  return std::unique_ptr<char, CurlFree>(text).get();
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string Unquote(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

// One connection: what the callbacks of libcurl see and decide.
class Attempt {
 public:
  Attempt(HttpSink& sink, uint64_t offset) : sink_(sink), offset_(offset) {}

  void OnHeader(std::string_view line) {
    last_activity_ = Clock::now();
    if (line.starts_with("HTTP/")) {
      // A new hop; only what the hub says about its redirect's end is kept.
      const size_t space = line.find(' ');
      status_ = static_cast<int>(
          ParseNumber(line.substr(std::min(line.size(), space + 1), 3)).value_or(0));
      content_length_.reset();
      content_range_.clear();
      response_.etag.clear();
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const std::string_view value = Trim(line.substr(colon + 1));
    if (name == "content-length") content_length_ = ParseNumber(value);
    if (name == "content-range") content_range_ = value;
    if (name == "etag" && !value.starts_with("W/")) response_.etag = value;
    if (name == "x-linked-etag") response_.linked_etag = Unquote(value);
    if (name == "x-linked-size") response_.linked_bytes = ParseNumber(value);
  }

  // False ends the transfer; status() then says why, unless the answer brings no content.
  bool OnBody(std::span<const char> data) {
    last_activity_ = Clock::now();
    if (!HasContent()) return false;
    if (!begun_ && !Begin()) return false;
    sink_status_ = sink_.Append(data);
    got_bytes_ = got_bytes_ || !data.empty();
    return sink_status_.ok();
  }

  // At the end of a transfer without a fault: an empty body begins too.
  bool Finish() { return !HasContent() || begun_ || Begin(); }

  bool HasContent() const { return status_ == 200 || status_ == 206; }
  bool answered() const { return status_ != 0; }
  bool got_bytes() const { return got_bytes_; }
  int status() const { return status_; }
  const Status& sink_status() const { return sink_status_; }
  const HttpResponse& response() const { return response_; }
  Clock::time_point last_activity() const { return last_activity_; }

 private:
  bool Begin() {
    begun_ = true;
    response_.offset = 0;
    response_.total_bytes = content_length_;
    if (status_ == 206) {
      // "bytes FIRST-LAST/TOTAL"; TOTAL may be '*'.
      std::string_view range = content_range_;
      if (range.starts_with("bytes ")) range.remove_prefix(6);
      const size_t slash = range.find('/');
      const auto first = ParseNumber(range.substr(0, range.find('-')));
      if (!first || *first != offset_) {
        sink_status_ = DataLossError(
            fmt::format("the server sent the range '{}' instead of the bytes from {} on",
                        content_range_, offset_));
        return false;
      }
      response_.offset = *first;
      response_.total_bytes =
          slash == std::string_view::npos ? std::nullopt : ParseNumber(range.substr(slash + 1));
    }
    sink_status_ = sink_.Begin(response_);
    return sink_status_.ok();
  }

  HttpSink& sink_;
  const uint64_t offset_;
  int status_ = 0;
  std::optional<uint64_t> content_length_;
  std::string content_range_;
  HttpResponse response_;
  bool begun_ = false;
  bool got_bytes_ = false;
  Status sink_status_;
  Clock::time_point last_activity_ = Clock::now();
};

size_t HeaderCallback(char* data, size_t size, size_t count, void* attempt) {
  static_cast<Attempt*>(attempt)->OnHeader({data, size * count});
  return size * count;
}

size_t BodyCallback(char* data, size_t size, size_t count, void* attempt) {
  return static_cast<Attempt*>(attempt)->OnBody({data, size * count}) ? size * count : 0;
}

enum class Next { kDone, kGiveUp, kRetry, kRetryFromStart };

struct Outcome {
  Status status;
  Next next = Next::kGiveUp;
  bool got_bytes = false;
};

class Downloader {
 public:
  Downloader(const HttpRequest& request, const HttpOptions& options, const FetchObserver& observer,
             HttpSink& sink)
      : request_(request), options_(options), observer_(observer), sink_(sink) {}

  Status Run() {
    FORETOKEN_RETURN_IF_ERROR(Prepare());
    int64_t backoff_ms = options_.backoff_ms;
    bool from_start = false;
    for (int32_t failures = 0;;) {
      Outcome outcome = Connect(std::exchange(from_start, false));
      if (outcome.next == Next::kDone || outcome.next == Next::kGiveUp) return outcome.status;
      if (outcome.got_bytes) {
        failures = 0;
        backoff_ms = options_.backoff_ms;
      }
      if (++failures >= options_.attempts) return outcome.status;
      from_start = outcome.next == Next::kRetryFromStart;
      observer_.Notice(fmt::format("{}; trying again", outcome.status.message()));
      FORETOKEN_RETURN_IF_ERROR(Sleep(backoff_ms));
      constexpr int64_t kMaxBackoffMs = 8000;
      backoff_ms = std::min(backoff_ms * 2, kMaxBackoffMs);
    }
  }

 private:
  Status Prepare() {
    if (!CurlReady()) return InternalError("libcurl cannot be set up");
    const std::unique_ptr<CURLU, CurlFree> url(curl_url());
    if (!url || curl_url_set(url.get(), CURLUPART_URL, request_.url.c_str(), 0) != CURLUE_OK) {
      return InvalidArgumentError(fmt::format("'{}' is not an address", request_.url));
    }
    const std::string scheme = UrlPart(url.get(), CURLUPART_SCHEME);
    host_ = UrlPart(url.get(), CURLUPART_HOST);
    if (scheme != "https" && scheme != "http") {
      return InvalidArgumentError(fmt::format("'{}' is neither HTTPS nor HTTP", request_.url));
    }
    encrypted_ = scheme == "https";
    const bool local = host_ == "localhost" || host_ == "[::1]" || host_.starts_with("127.");
    send_token_ = !request_.bearer_token.empty() && (encrypted_ || local);
    if (!request_.bearer_token.empty() && !send_token_) {
      observer_.Notice(fmt::format("the token is not sent: {} is not encrypted", request_.url));
    }
    return OkStatus();
  }

  Status Sleep(int64_t milliseconds) const {
    const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
    while (Clock::now() < end) {
      if (observer_.Cancelled()) return CancelledError("interrupted");
      std::this_thread::sleep_for(std::min<Clock::duration>(kPollInterval, end - Clock::now()));
    }
    return OkStatus();
  }

  Outcome Connect(bool from_start) {
    const uint64_t offset = from_start ? 0 : sink_.offset();
    Attempt attempt(sink_, offset);
    const std::unique_ptr<CURL, EasyFree> easy(curl_easy_init());
    const std::unique_ptr<CURLM, MultiFree> multi(curl_multi_init());
    if (!easy || !multi) return {InternalError("libcurl has no memory")};
    curl_slist* header = nullptr;
    if (offset > 0 && !sink_.etag().empty()) {
      header = curl_slist_append(nullptr, fmt::format("If-Range: {}", sink_.etag()).c_str());
    }
    const std::unique_ptr<curl_slist, CurlFree> headers(header);
    Configure(easy.get(), headers.get(), offset, &attempt);

    std::array<char, CURL_ERROR_SIZE> detail{};
    curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, detail.data());
    curl_multi_add_handle(multi.get(), easy.get());
    Outcome outcome = Transfer(multi.get(), attempt, detail.data());
    curl_multi_remove_handle(multi.get(), easy.get());
    outcome.got_bytes = attempt.got_bytes();
    answered_ = answered_ || attempt.answered();
    return outcome;
  }

  void Configure(CURL* easy, curl_slist* headers, uint64_t offset, Attempt* attempt) const {
    const char* protocols = encrypted_ ? "https" : "https,http";
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A name server that hangs must not hold up the end of a transfer that was given up.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    // The answer of a proxy is not the server's.
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "foretoken");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    }
    if (send_token_) {
      // libcurl drops it when a redirect leads to another host, port or protocol.
      curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
      curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, request_.bearer_token.c_str());
    }
    if (offset > 0) curl_easy_setopt(easy, CURLOPT_RANGE, fmt::format("{}-", offset).c_str());
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, HeaderCallback);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, attempt);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, BodyCallback);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, attempt);
  }

  // Runs the transfer under our own deadlines: libcurl's have no time-out for the first byte.
  Outcome Transfer(CURLM* multi, Attempt& attempt, const char* detail) const {
    const auto start = Clock::now();
    int running = 1;
    while (true) {
      if (curl_multi_perform(multi, &running) != CURLM_OK) {
        return {InternalError("libcurl cannot run the transfer")};
      }
      if (running == 0) break;
      if (observer_.Cancelled()) return {CancelledError("interrupted")};
      const auto now = Clock::now();
      const auto silent = now - attempt.last_activity();
      if (!attempt.answered() && !answered_ &&
          now - start > std::chrono::milliseconds(options_.answer_timeout_ms)) {
        return {
            UnavailableError(fmt::format("{} does not answer within {} s", host_,
                                         static_cast<double>(options_.answer_timeout_ms) / 1e3))};
      }
      if (silent > std::chrono::milliseconds(options_.stall_timeout_ms)) {
        return {UnavailableError(fmt::format("{} has gone silent", host_)), Next::kRetry};
      }
      curl_multi_poll(multi, nullptr, 0, static_cast<int>(kPollInterval.count()), nullptr);
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi, &left);
    const CURLcode code = message == nullptr ? CURLE_FAILED_INIT : message->data.result;
    return Judge(code, attempt, detail);
  }

  Outcome Judge(CURLcode code, Attempt& attempt, const char* detail) const {
    if (!attempt.sink_status().ok()) return {attempt.sink_status()};
    if (code == CURLE_OK && !attempt.Finish()) return {attempt.sink_status()};
    const int status = attempt.status();
    // An error page that is refused ends as a write error; its status is what counts.
    if (attempt.answered() && !attempt.HasContent() && (status < 300 || status >= 400)) {
      return JudgeStatus(status);
    }
    const std::string reason = *detail != '\0' ? detail : curl_easy_strerror(code);
    switch (code) {
      case CURLE_OK:
        if (const auto total = attempt.response().total_bytes; total && sink_.offset() < *total) {
          return {UnavailableError(fmt::format("{} broke off after {} of {} bytes", host_,
                                               sink_.offset(), *total)),
                  Next::kRetry};
        }
        if (!attempt.HasContent()) {
          return {UnavailableError(fmt::format("{} answered {} without content", host_, status))};
        }
        return {OkStatus(), Next::kDone};
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        return {PermissionDeniedError(
            fmt::format("the certificate of {} is not trusted: {}", host_, reason))};
      case CURLE_UNSUPPORTED_PROTOCOL:
      case CURLE_TOO_MANY_REDIRECTS:
        return {UnavailableError(fmt::format("{} redirects to nowhere: {}", host_, reason))};
      default:
        // A server that never spoke is skipped; one that did may come back.
        return {UnavailableError(fmt::format("{}: {}", host_, reason)),
                attempt.answered() || answered_ ? Next::kRetry : Next::kGiveUp};
    }
  }

  Outcome JudgeStatus(int status) const {
    const std::string message = fmt::format("{} answered {}", host_, status);
    if (status == 404 || status == 410) return {NotFoundError(message + " (no such file)")};
    if (status == 401 || status == 403) {
      return {PermissionDeniedError(message +
                                    " (private or missing; set HF_TOKEN if you have access)")};
    }
    if (status == 416) return {UnavailableError(message), Next::kRetryFromStart};
    const bool passing = status == 408 || status == 425 || status == 429 || status >= 500;
    return {UnavailableError(message), passing ? Next::kRetry : Next::kGiveUp};
  }

  const HttpRequest& request_;
  const HttpOptions& options_;
  const FetchObserver& observer_;
  HttpSink& sink_;
  std::string host_;
  bool encrypted_ = true;
  bool send_token_ = false;
  bool answered_ = false;  // by any attempt so far
};

}  // namespace

Status HttpDownload(const HttpRequest& request, const HttpOptions& options,
                    const FetchObserver& observer, HttpSink& sink) {
  return Downloader(request, options, observer, sink).Run();
}

}  // namespace foretoken
