# The system libraries the project uses; scripts/bootstrap installs their packages.
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)  # SHA-256
find_package(fmt REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CURL 7.87 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)  # its CMake file asks for its programs too
if(FORETOKEN_APPS)
  find_package(CLI11 REQUIRED)
endif()
if(FORETOKEN_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(FORETOKEN_BENCH)
  find_package(benchmark REQUIRED)
endif()
