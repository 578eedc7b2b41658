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
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety;-Wreserved-identifier>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # false positives on std::string (GCC bug 105651)
  $<$<BOOL:${FORETOKEN_WERROR}>:-Werror>)
if(FORETOKEN_ARCH)
  target_compile_options(foretoken_flags INTERFACE -march=${FORETOKEN_ARCH})
endif()
if(FORETOKEN_SANITIZE)
  target_compile_options(foretoken_flags INTERFACE
    -fsanitize=${FORETOKEN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)  # clang 14 cannot assemble it in coroutines
  target_link_options(foretoken_flags INTERFACE -fsanitize=${FORETOKEN_SANITIZE})
endif()
target_include_directories(foretoken_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)

# foretoken_library(<name> SOURCES <files> [DEPS <targets>] [PRIVATE_DEPS <targets>])
# Those of src/, less src/testing and what only the executable needs (downloads, store, server), make
# up the installed library; see install.cmake.
function(foretoken_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC foretoken_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  file(RELATIVE_PATH layer ${PROJECT_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT layer MATCHES "^(\\.\\.|testing|fetch|store|server)")
    set_property(GLOBAL APPEND PROPERTY FORETOKEN_LAYER_TARGETS ${name})
  endif()
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

# foretoken_pytest(<name> FILE <file> [ENVIRONMENT <NAME=value>] [LABELS <labels>]
#                  [TIMEOUT <seconds>] [PYTHON <interpreter>]): a file of pytest tests as one ctest
# entry.
function(foretoken_pytest name)
  cmake_parse_arguments(ARG "" "FILE;TIMEOUT;PYTHON" "ENVIRONMENT;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_PYTHON)
    set(ARG_PYTHON ${FORETOKEN_PYTHON})
  endif()
  add_test(NAME ${name}
    COMMAND ${ARG_PYTHON} -m pytest -q -p no:cacheprovider ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_FILE})
  set_tests_properties(${name} PROPERTIES
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;${ARG_ENVIRONMENT}" LABELS "${ARG_LABELS}"
    TIMEOUT ${ARG_TIMEOUT})
endfunction()

# foretoken_bench(<name> SOURCES <files> DEPS <targets>): a Google Benchmark executable.
function(foretoken_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE foretoken_flags ${ARG_DEPS} benchmark::benchmark)
endfunction()

# foretoken_fuzz(<name> SOURCES <files> COVERED <sources under test> DEPS <targets>)
# A libFuzzer program whose covered sources are compiled again, instrumented, and a ctest entry
# (label fuzz) that gives it a fixed number of inputs. By hand: <program> -max_total_time=600 <folder>
function(foretoken_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;COVERED;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES} ${ARG_COVERED})
  target_link_libraries(${name} PRIVATE foretoken_flags ${ARG_DEPS})
  set(flags -fsanitize=fuzzer,address,undefined -fno-sanitize=function -fno-sanitize-recover=all -g1)
  target_compile_options(${name} PRIVATE ${flags})
  target_link_options(${name} PRIVATE ${flags})
  add_test(NAME ${name} COMMAND ${name} -seed=1 -runs=20000 -max_total_time=20 -print_final_stats=1)
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
