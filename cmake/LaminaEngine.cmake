# The engine: one shared library per x86-64 level. All of them have the same SONAME and export
# the same symbols; a process loads exactly one:
#   lib/liblamina.so.0                           the lowest level that was built
#   lib/glibc-hwcaps/x86-64-v3/liblamina.so.0    glibc >= 2.33 picks these by itself for C++
#   lib/glibc-hwcaps/x86-64-v4/liblamina.so.0    programs; lamina._engine does for Python
file(GLOB LAMINA_SOURCES CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/cpp/base/*.cpp ${PROJECT_SOURCE_DIR}/cpp/kernels/*.cpp
  ${PROJECT_SOURCE_DIR}/cpp/ops/*.cpp ${PROJECT_SOURCE_DIR}/cpp/graph/*.cpp
  ${PROJECT_SOURCE_DIR}/cpp/exec/*.cpp)

set(_x86 OFF)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  set(_x86 ON)
endif()

if(NOT _x86)
  set(LAMINA_LEVELS generic)
elseif(LAMINA_ISA STREQUAL "all")
  set(LAMINA_LEVELS v2 v3 v4)
elseif(LAMINA_ISA STREQUAL "auto")
  try_run(_ran _compiled ${CMAKE_BINARY_DIR}/cpu_level ${PROJECT_SOURCE_DIR}/cmake/cpu_level.cpp
    CMAKE_FLAGS -DINCLUDE_DIRECTORIES=${PROJECT_SOURCE_DIR}/cpp/include
    RUN_OUTPUT_VARIABLE LAMINA_LEVELS)
  if(NOT LAMINA_LEVELS MATCHES "^v[234]$")
    set(LAMINA_LEVELS v2)
  endif()
elseif(LAMINA_ISA MATCHES "^v[234]$")
  set(LAMINA_LEVELS ${LAMINA_ISA})
else()
  message(FATAL_ERROR "LAMINA_ISA=${LAMINA_ISA}: use auto, all, v2, v3 or v4")
endif()
message(STATUS "lamina ${PROJECT_VERSION}: level(s) ${LAMINA_LEVELS}")

# Compile and link flags of everything that is ours; never exported.
add_library(lamina_options INTERFACE)
# -Wno-psabi: vectors wider than the baseline are passed by value, inside one library only.
target_compile_options(lamina_options INTERFACE -Wall -Wextra -Wno-psabi)
if(LAMINA_WERROR)
  target_compile_options(lamina_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc's own AVX-512 headers set off the first, std::string the second (gcc 12).
  target_compile_options(lamina_options INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
endif()
if(LAMINA_SANITIZE)
  target_compile_options(lamina_options INTERFACE
    -fsanitize=${LAMINA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(lamina_options INTERFACE -fsanitize=${LAMINA_SANITIZE})
endif()

# How the engine's numbers are computed. A product and a sum are one FMA wherever the level has it
# (strict C++ would not let gcc join them), math functions need not set errno, and floating-point
# operations may be vectorised as if they never trapped. Nothing here reorders a sum.
set(_engine_flags $<$<CONFIG:Release>:-O3> -ffp-contract=fast -fno-math-errno -fno-trapping-math)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND _engine_flags -fexpensive-optimizations) # where gcc joins them; -O1 is without
endif()

# The wheel holds the same tree as a C++ install, below lamina/.
if(DEFINED SKBUILD)
  set(LAMINA_PREFIX lamina/)
  set(CMAKE_INSTALL_LIBDIR lib)
endif()
set(_cmakedir ${LAMINA_PREFIX}${CMAKE_INSTALL_LIBDIR}/cmake/lamina)

foreach(_level IN LISTS LAMINA_LEVELS)
  list(FIND LAMINA_LEVELS ${_level} _position)
  if(_position EQUAL 0)
    set(_target lamina)
    set(_subdir "")
  else()
    set(_target lamina_${_level})
    set(_subdir /glibc-hwcaps/x86-64-${_level})
  endif()
  add_library(${_target} SHARED ${LAMINA_SOURCES})
  target_compile_features(${_target} PUBLIC cxx_std_20)
  target_include_directories(${_target}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/cpp/include>
           $<INSTALL_INTERFACE:${LAMINA_PREFIX}${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR}/cpp)
  target_compile_definitions(${_target} PRIVATE LAMINA_BUILDING EIGEN_MPL2_ONLY
    LAMINA_LEVEL="${_level}" LAMINA_VERSION="${PROJECT_VERSION}" LAMINA_EIGEN="${Eigen3_VERSION}")
  target_compile_options(${_target} PRIVATE ${_engine_flags})
  if(_x86)
    # Not -march=native: that also picks a tuning, and gcc 12's for AMD costs a quarter of the
    # speed of Eigen's matrix product.
    target_compile_options(${_target} PRIVATE -march=x86-64-${_level} -mtune=generic)
  endif()
  target_link_libraries(${_target}
    PRIVATE $<BUILD_INTERFACE:lamina_options> $<BUILD_INTERFACE:Eigen3::Eigen>
            $<BUILD_INTERFACE:OpenMP::OpenMP_CXX> $<BUILD_INTERFACE:Threads::Threads>)
  set_target_properties(${_target} PROPERTIES
    OUTPUT_NAME lamina SOVERSION 0 INSTALL_RPATH "$ORIGIN" BUILD_RPATH_USE_ORIGIN ON
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib${_subdir})
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    # Only our own names leave the library: no Eigen or std template instantiation may be merged
    # with one that was compiled for another level. nodelete: the team's threads run its code.
    set(_map ${PROJECT_SOURCE_DIR}/cmake/lamina.map)
    target_link_options(${_target} PRIVATE -Wl,--version-script=${_map} -Wl,-z,nodelete)
    if(NOT LAMINA_SANITIZE)
      target_link_options(${_target} PRIVATE -Wl,-z,defs)
    endif()
    set_property(TARGET ${_target} PROPERTY LINK_DEPENDS ${_map})
  endif()
  if(_position EQUAL 0)
    add_library(lamina::lamina ALIAS lamina)
    if(DEFINED SKBUILD)
      set(_namelink NAMELINK_SKIP) # a wheel has no symlinks
    endif()
    install(TARGETS lamina EXPORT laminaTargets
      LIBRARY DESTINATION ${LAMINA_PREFIX}${CMAKE_INSTALL_LIBDIR} ${_namelink})
  else()
    install(TARGETS ${_target}
      LIBRARY DESTINATION ${LAMINA_PREFIX}${CMAKE_INSTALL_LIBDIR}${_subdir} NAMELINK_SKIP)
  endif()
endforeach()

include(CMakePackageConfigHelpers)
write_basic_package_version_file(laminaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT laminaTargets NAMESPACE lamina:: FILE laminaConfig.cmake DESTINATION ${_cmakedir})
install(FILES ${PROJECT_BINARY_DIR}/laminaConfigVersion.cmake DESTINATION ${_cmakedir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/cpp/include/lamina
  DESTINATION ${LAMINA_PREFIX}${CMAKE_INSTALL_INCLUDEDIR})
