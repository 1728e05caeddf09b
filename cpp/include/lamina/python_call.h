// The seam to Python functions: the bindings install the caller, the engine knows only this.
#pragma once

#include <span>

#include "lamina/types.h"

namespace lamina {

// Calls the function registered under `id`; may throw what the function threw.
using PythonCaller = void (*)(std::int64_t id, std::span<const Spec> in, void* const* ins,
                              const Spec& out, void* result);
LAMINA_API void set_python_caller(PythonCaller caller);

}  // namespace lamina
