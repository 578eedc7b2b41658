#ifndef FORETOKEN_UNIT_SERVER_TLS_TEST_FILES_H_
#define FORETOKEN_UNIT_SERVER_TLS_TEST_FILES_H_

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <memory>
#include <string>

#include "testing/temp_directory.h"

namespace foretoken {

// A key and a certificate of its own making, as two PEM files.
struct TlsTestFiles {
  explicit TlsTestFiles(const char* name = "localhost") { Write(name); }

  // Replaces both.
  void Write(const char* name) const {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> new_key(EVP_EC_gen("P-256"),
                                                                      EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), X509_free);
    ASSERT_TRUE(new_key && made);
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 24L * 3600);
    X509_set_pubkey(made.get(), new_key.get());
    X509_NAME* const subject = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    X509_set_issuer_name(made.get(), subject);
    ASSERT_GT(X509_sign(made.get(), new_key.get(), EVP_sha256()), 0);
    std::FILE* file = std::fopen(certificate.c_str(), "w");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(PEM_write_X509(file, made.get()), 1);
    std::fclose(file);
    file = std::fopen(key.c_str(), "w");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(PEM_write_PrivateKey(file, new_key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
    std::fclose(file);
  }

  const testing::TempDirectory directory;
  const std::string certificate = directory.path() + "/certificate.pem";
  const std::string key = directory.path() + "/key.pem";
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_TLS_TEST_FILES_H_
