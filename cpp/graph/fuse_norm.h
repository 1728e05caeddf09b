// fuse_norms: normalization joined with its neighbours; part of fuse.
#pragma once

#include "lamina/graph.h"

namespace lamina {

void fuse_norms(Graph& graph);

}  // namespace lamina
