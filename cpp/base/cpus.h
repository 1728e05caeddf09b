#pragma once

namespace lamina {

// Processors this process may use: its affinity mask as it is now, and its container's CPU quota
// (cgroup v1 or v2, rounded up) as it was at the first call. At least 1.
int available_cpus();

}  // namespace lamina
