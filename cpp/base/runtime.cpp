#include "lamina/runtime.h"

#define LAMINA_TEXT_OF(x) #x
#define LAMINA_TEXT(x) LAMINA_TEXT_OF(x)

namespace lamina {

const char* version() { return LAMINA_VERSION; }

const char* isa() { return LAMINA_LEVEL; }

int isa_level() {
  constexpr const char* kLevel = LAMINA_LEVEL;
  return kLevel[0] == 'v' && kLevel[1] >= '2' && kLevel[1] <= '4' ? kLevel[1] - '0' : 0;
}

const char* compiler() {
#if defined(__clang__)
  return "clang " LAMINA_TEXT(__clang_major__) "." LAMINA_TEXT(__clang_minor__) "." LAMINA_TEXT(
      __clang_patchlevel__);
#elif defined(__GNUC__)
  return "gcc " LAMINA_TEXT(__GNUC__) "." LAMINA_TEXT(__GNUC_MINOR__) "." LAMINA_TEXT(
      __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

const char* eigen_version() { return LAMINA_EIGEN; }

const char* openmp_runtime() {
#if defined(__clang__)
  return "libomp " LAMINA_TEXT(_OPENMP);
#else
  return "libgomp " LAMINA_TEXT(_OPENMP);
#endif
}

}  // namespace lamina
