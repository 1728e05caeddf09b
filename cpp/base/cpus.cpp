#include "base/cpus.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace lamina {
namespace {

constexpr int kNoLimit = std::numeric_limits<int>::max();

#if defined(__linux__)

int cpus_of_quota(double quota, double period) {
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period)))
                                 : kNoLimit;
}

// "max 100000" or "150000 100000".
int quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max") return kNoLimit;
  return cpus_of_quota(std::strtod(quota.c_str(), nullptr), period);
}

int quota_v1(const std::string& folder) {
  double quota = 0, period = 0;
  if (!(std::ifstream(folder + "/cpu.cfs_quota_us") >> quota)) return kNoLimit;
  if (!(std::ifstream(folder + "/cpu.cfs_period_us") >> period)) return kNoLimit;
  return cpus_of_quota(quota, period);
}

// The least quota on the way from a group to the root. Inside a container the group's own path is
// often not visible, and the root shows the container's.
int least_quota(const std::string& mount, std::string group, int (*quota)(const std::string&)) {
  int least = kNoLimit;
  for (;;) {
    least = std::min(least, quota(mount + group));
    const auto slash = group.rfind('/');
    if (slash == std::string::npos) return least;
    group.erase(slash);
  }
}

bool lists_cpu(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
}

int read_quota() {
  int least = kNoLimit;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:/group
    std::istringstream fields(line);
    std::string hierarchy, controllers, group;
    std::getline(fields, hierarchy, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, group);
    if (controllers.empty())
      least = std::min(least, least_quota("/sys/fs/cgroup", group, quota_v2));
    if (lists_cpu(controllers))
      least = std::min(least, least_quota("/sys/fs/cgroup/cpu", group, quota_v1));
  }
  return least;
}

int affinity() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : kNoLimit;
}

#else

int read_quota() { return kNoLimit; }
int affinity() { return kNoLimit; }

#endif

}  // namespace

int available_cpus() {
  static const int quota = read_quota();
  const int cpus = std::min(quota, affinity());
  return cpus != kNoLimit ? cpus
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace lamina
