# Helpers that give every target of the project the same flags.

find_program(FORETOKEN_CCACHE ccache)
if(FORETOKEN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${FORETOKEN_CCACHE})
endif()

add_library(foretoken_flags INTERFACE)
# -ffp-contract=off: sampling promises the same bits from every compiler; an FMA is written std::fma.
target_compile_options(foretoken_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -ffp-contract=off
  -Wno-missing-field-initializers  # option structs are written with what differs from the defaults
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # false positives on std::string (GCC bug 105651)
  $<$<BOOL:${FORETOKEN_WERROR}>:-Werror>)
if(FORETOKEN_ARCH)
  target_compile_options(foretoken_flags INTERFACE -march=${FORETOKEN_ARCH})
endif()
if(FORETOKEN_SANITIZE)
  target_compile_options(foretoken_flags INTERFACE
    -fsanitize=${FORETOKEN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(foretoken_flags INTERFACE -fsanitize=${FORETOKEN_SANITIZE})
endif()
target_include_directories(foretoken_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)

# foretoken_library(<name> SOURCES <files> [DEPS <targets>] [PRIVATE_DEPS <targets>])
function(foretoken_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC foretoken_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

# foretoken_test(<name> SOURCES <files> DEPS <targets> [LABELS <labels>] [TIMEOUT <seconds>])
# One executable; every GoogleTest case in it becomes one ctest entry.
function(foretoken_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE foretoken_flags ${ARG_DEPS} GTest::gtest_main GTest::gmock)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# foretoken_bench(<name> SOURCES <files> DEPS <targets>): a Google Benchmark executable.
function(foretoken_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE foretoken_flags ${ARG_DEPS} benchmark::benchmark)
endfunction()
