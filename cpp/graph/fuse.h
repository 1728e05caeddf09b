// Parts of the pass `fuse`, a family of operations each.
#pragma once

#include "lamina/graph.h"

namespace lamina {

// Normalization joined with its neighbours.
void fuse_norms(Graph& graph);

// Dropout joined with the ReLU before it, on the way back.
void fuse_dropouts(Graph& graph);

// Maximum pooling joined with what comes before it.
void fuse_pooling(Graph& graph);

// Convolutions of concatenated images without the whole.
void fuse_parts(Graph& graph);

// Convolutions whose weights stay the same take them as Winograd's way wants them: what prepares
// them becomes an op of its own, which a program runs only when variables have changed.
void fuse_weights(Graph& graph);

// Gradients of maxima and minima over all positions joined with those of what comes before.
void fuse_extremes(Graph& graph);

// Gradients that an optimizer's update can take in another form than the flat one.
void fuse_updates(Graph& graph);

// rnn(embedding(table, ids), ...) -> rnn(table, ..., ids), and its gradient alike: a recurrent
// layer over embedded words works once for each distinct word. After the sparse updates are found.
void fuse_embeddings(Graph& graph);

}  // namespace lamina
