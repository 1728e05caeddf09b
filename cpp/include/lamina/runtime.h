// The process-wide settings of the engine.
#pragma once

#include "lamina/api.h"

namespace lamina {

LAMINA_API const char* version();
LAMINA_API const char* isa();       // the level this copy was compiled for: "v2" .. "v4", "generic"
LAMINA_API int isa_level();         // the same as a number, 0 for generic; compare with cpu_level()
LAMINA_API const char* compiler();  // "gcc 12.2.0"
LAMINA_API const char* eigen_version();
LAMINA_API const char* openmp_runtime();  // "libgomp 201511"
LAMINA_API int num_threads();             // threads the next step of the calling thread may use
LAMINA_API void set_num_threads(int n);   // throws Error when n < 1

}  // namespace lamina
