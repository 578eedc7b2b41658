# Finds the pinned llama.cpp sources in the dependency cache, builds them there once per
# (version, compiler, flags, CPU features) and imports the result as foretoken::llama_cpp.
# scripts/bootstrap fetches the sources; FORETOKEN_LLAMA_CPP_DIR names a checkout instead, which is
# brought up to date at every configure, because it may have been edited.

if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(FORETOKEN_CACHE_DIR "$ENV{XDG_CACHE_HOME}/foretoken")
else()
  set(FORETOKEN_CACHE_DIR "$ENV{HOME}/.cache/foretoken")
endif()

file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/llama_cpp_version.txt pinned_lines REGEX "^[a-z]")
foreach(line IN LISTS pinned_lines)
  string(REGEX MATCH "^([a-z0-9]+) (.*)$" _ "${line}")
  set(LLAMA_CPP_PIN_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
endforeach()

if(FORETOKEN_LLAMA_CPP_DIR)
  set(llama_cpp_source ${FORETOKEN_LLAMA_CPP_DIR})
  string(SHA256 source_id "${llama_cpp_source}")
else()
  set(source_id ${LLAMA_CPP_PIN_sha256})
  set(llama_cpp_source
      "${FORETOKEN_CACHE_DIR}/src/llama.cpp-${source_id}/${LLAMA_CPP_PIN_subdir}")
endif()
if(NOT EXISTS ${llama_cpp_source}/include/llama.h)
  message(FATAL_ERROR "llama.cpp is not at ${llama_cpp_source}. Run scripts/bootstrap first, or set "
                      "FORETOKEN_LLAMA_CPP_DIR to a checkout.")
endif()

# The build of a dependency does not depend on which compiler the project itself is checked with:
# its interface is C or libstdc++, and one build serves both.
set(llama_cpp_cxx c++)
set(llama_cpp_cc cc)
execute_process(COMMAND ${llama_cpp_cxx} --version OUTPUT_VARIABLE compiler_id)
string(APPEND compiler_id "$ENV{CFLAGS}$ENV{CXXFLAGS}")  # the environment's flags apply to it too
set(cpu_id "${FORETOKEN_ARCH}")
if(FORETOKEN_ARCH STREQUAL "native")
  file(STRINGS /proc/cpuinfo cpu_flags REGEX "^(flags|Features)" LIMIT_COUNT 1)
  string(APPEND cpu_id "${cpu_flags}")
  set(llama_cpp_arch_args -DGGML_NATIVE=ON)
elseif(FORETOKEN_ARCH STREQUAL "x86-64-v3")
  # Each one by name: ggml's defaults for them depend on SOURCE_DATE_EPOCH, which packagers set.
  set(llama_cpp_arch_args -DGGML_NATIVE=OFF)
  foreach(feature SSE42 AVX AVX2 BMI2 FMA F16C)
    list(APPEND llama_cpp_arch_args -DGGML_${feature}=ON)
  endforeach()
  string(APPEND cpu_id "${llama_cpp_arch_args}")
else()
  message(FATAL_ERROR "FORETOKEN_ARCH is \"${FORETOKEN_ARCH}\": llama.cpp is built for \"native\" or "
                      "\"x86-64-v3\" only")
endif()
file(SHA256 ${PROJECT_SOURCE_DIR}/cmake/llama_cpp_build/CMakeLists.txt recipe_id)
string(SHA256 key "${source_id};${compiler_id};${cpu_id};${FORETOKEN_CUDA};${recipe_id}")
string(SUBSTRING ${key} 0 16 key)
set(llama_cpp_build ${FORETOKEN_CACHE_DIR}/build/llama.cpp-${LLAMA_CPP_PIN_version}-${key})

if(FORETOKEN_LLAMA_CPP_DIR OR NOT EXISTS ${llama_cpp_build}/done)
  # Two builds may start at once; the second waits and finds the first one's result.
  file(MAKE_DIRECTORY ${llama_cpp_build})
  file(LOCK ${llama_cpp_build}.lock GUARD FILE TIMEOUT 0 RESULT_VARIABLE lock_error)
  if(lock_error)
    message(STATUS "Another build of llama.cpp is under way in ${llama_cpp_build}: waiting for it")
    file(LOCK ${llama_cpp_build}.lock GUARD FILE)
  endif()
endif()
if(FORETOKEN_LLAMA_CPP_DIR OR NOT EXISTS ${llama_cpp_build}/done)
  message(STATUS "Building llama.cpp ${LLAMA_CPP_PIN_version} into ${llama_cpp_build} "
                 "(a few minutes; later builds reuse it)")
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -G Ninja -S ${PROJECT_SOURCE_DIR}/cmake/llama_cpp_build
            -B ${llama_cpp_build} -DCMAKE_BUILD_TYPE=Release
            -DCMAKE_C_COMPILER=${llama_cpp_cc} -DCMAKE_CXX_COMPILER=${llama_cpp_cxx}
            -DLLAMA_CPP_SOURCE_DIR=${llama_cpp_source} -DGGML_CUDA=${FORETOKEN_CUDA}
            ${llama_cpp_arch_args}
    OUTPUT_FILE ${llama_cpp_build}/configure.log ERROR_FILE ${llama_cpp_build}/configure.log
    RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "Configuring llama.cpp failed; see ${llama_cpp_build}/configure.log")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${llama_cpp_build} --parallel ${cores}
                  RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "Building llama.cpp failed (see the output above)")
  endif()
  file(TOUCH ${llama_cpp_build}/done)
endif()

file(STRINGS ${llama_cpp_build}/archives.txt llama_cpp_archives)
add_library(foretoken_llama_cpp INTERFACE)
add_library(foretoken::llama_cpp ALIAS foretoken_llama_cpp)
target_include_directories(foretoken_llama_cpp SYSTEM INTERFACE
  ${llama_cpp_source}/include ${llama_cpp_source}/ggml/include)
target_link_libraries(foretoken_llama_cpp INTERFACE
  ${llama_cpp_archives} Threads::Threads ${CMAKE_DL_LIBS} m)
if(FORETOKEN_CUDA)
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(foretoken_llama_cpp INTERFACE
    CUDA::cudart CUDA::cublas CUDA::cuda_driver)
endif()

# What the kernels and the adapters need of the inside of the pinned version.
add_library(foretoken_llama_internals INTERFACE)
target_include_directories(foretoken_llama_internals SYSTEM INTERFACE
  ${llama_cpp_source}/src ${llama_cpp_source}/ggml/src ${llama_cpp_source}/ggml/src/ggml-cpu)
target_link_libraries(foretoken_llama_internals INTERFACE foretoken_llama_cpp)

# llama.cpp's `common` exports its vendored nlohmann-json, which clashes with the system's in one
# translation unit: only the chat template adapter links this.
add_library(foretoken_llama_common INTERFACE)
target_include_directories(foretoken_llama_common SYSTEM INTERFACE
  ${llama_cpp_source}/common ${llama_cpp_source}/vendor)
target_link_libraries(foretoken_llama_common INTERFACE foretoken_llama_cpp)
