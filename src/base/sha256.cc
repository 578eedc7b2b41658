#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace foretoken {

struct Sha256::Context {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> evp{EVP_MD_CTX_new()};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(const void* data, size_t bytes) {
  EVP_DigestUpdate(context_->evp.get(), data, bytes);
}

std::string Sha256::HexDigest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_->evp.get(), digest.data(), &size);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex.push_back(kDigits[digest[i] >> 4]);
    hex.push_back(kDigits[digest[i] & 15]);
  }
  return hex;
}

Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::function<void(uint64_t bytes)>& progress) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) {
    const std::string message = path + ": " + std::strerror(errno);
    if (errno == ENOENT) return NotFoundError(message);
    if (errno == EACCES) return PermissionDeniedError(message);
    return InternalError(message);
  }
  Sha256 hash;
  std::vector<char> buffer(size_t{1} << 20);
  uint64_t total = 0;
  while (size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    hash.Update(buffer.data(), got);
    total += got;
    if (progress) progress(total);
  }
  if (std::ferror(file.get()))
    return InternalError(path + ": read error after " + std::to_string(total) + " bytes");
  return hash.HexDigest();
}

}  // namespace foretoken
