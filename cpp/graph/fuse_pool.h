// fuse_pooling: maximum pooling joined with what comes before it; part of fuse.
#pragma once

#include "lamina/graph.h"

namespace lamina {

void fuse_pooling(Graph& graph);

}  // namespace lamina
