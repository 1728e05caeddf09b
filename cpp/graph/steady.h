// Values that are the same in every run until somebody changes a variable.
#pragma once

#include <vector>

#include "lamina/graph.h"

namespace lamina {

// By value: is it made of small constants, and of variables that the graph does not assign, by ops
// that always give the same?
std::vector<bool> steady_values(const Graph& graph);

}  // namespace lamina
