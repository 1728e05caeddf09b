// What it costs to write memory that another thread has read.
#pragma once

namespace lamina {

// A processor takes a line of memory from the other caches before it writes it. Between threads
// that share a cache that is quick; between those that do not, the lines are taken one after the
// other, each some tens of nanoseconds, and nothing hides that but writing past the caches. Which
// of the two it is changes on a virtual machine from one moment to the next, so it is measured, a
// hundred times a second at most. For the thread that starts jobs. Only for a choice between
// instructions that leave the same bits.
bool taking_lines_is_dear();

}  // namespace lamina
