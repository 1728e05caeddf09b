// Recordings of programs, and the machine's limits, for lamina.profile.
#include "convert.h"
#include "lamina/plan.h"
#include "lamina/profile.h"

namespace lamina::python {
namespace {

py::list totals(const Recording& recording) {
  py::list rows;
  for (const StepTotals& t : recording.totals())
    rows.append(py::make_tuple(t.count, t.total, t.least));
  return rows;
}

// One row a slice: step, thread, begin, end, team, chunks.
py::list runs(const Recording& recording) {
  py::list list;
  for (const std::vector<StepSlice>& run : recording.runs()) {
    py::array_t<std::int64_t> rows({run.size(), std::size_t{6}});
    auto at = rows.mutable_unchecked<2>();
    for (py::ssize_t i = 0; i < rows.shape(0); ++i) {
      const StepSlice& s = run[static_cast<std::size_t>(i)];
      const std::int64_t row[] = {s.step, s.thread, s.begin, s.end, s.team, s.chunks};
      for (py::ssize_t k = 0; k < 6; ++k) at(i, k) = row[k];
    }
    list.append(rows);
  }
  return list;
}

py::dict limits() {
  MachineLimits limits;
  {
    const py::gil_scoped_release release;
    limits = measure_limits();
  }
  py::list copies;
  for (const MachineLimits::Copy& c : limits.copies)
    copies.append(py::make_tuple(c.bytes, c.gbytes_thread, c.gbytes_team));
  py::dict out;
  out["threads"] = limits.threads;
  out["gflops_thread"] = limits.gflops_thread;
  out["gflops_team"] = limits.gflops_team;
  out["copies"] = copies;
  return out;
}

const char* phase_name(StepInfo::Phase phase) {
  if (phase == StepInfo::Phase::update) return "update";
  return phase == StepInfo::Phase::backward ? "backward" : "forward";
}

py::list details(const Program& program) {
  py::list rows;
  for (const StepInfo& s : program.steps()) {
    py::list ops, origins, in, out;
    for (const StepInfo::Member& member : s.members) {
      ops.append(member.op);
      origins.append(member.origin);
    }
    for (const Spec& spec : s.in) in.append(to_string(spec));
    for (const Spec& spec : s.out) out.append(to_string(spec));
    rows.append(py::make_tuple(ops, origins, phase_name(s.phase), in, out, s.flops, s.bytes_read,
                               s.bytes_written));
  }
  return rows;
}

py::list placements(const Program& program) {
  const Graph& g = program.graph();
  py::list rows;
  for (const Program::Placement& p : program.placements()) {
    const bool is_input = p.value != kNoValue && g.values[p.value].kind == Value::Kind::input;
    const char* const kind = p.value == kNoValue ? "scratch" : is_input ? "input" : "value";
    rows.append(py::make_tuple(p.offset, p.bytes, p.first, p.last, kind));
  }
  return rows;
}

std::vector<std::string> input_specs(const Program& program) {
  std::vector<std::string> texts;
  for (const ValueId id : program.graph().inputs)
    texts.push_back(to_string(program.graph().values[id].spec));
  return texts;
}

}  // namespace

void bind_profile(py::module_& m) {
  py::class_<Recording, std::shared_ptr<Recording>>(m, "Recording",
                                                    "What the steps of a program took.")
      .def_property_readonly("totals", &totals,
                             "(runs, nanoseconds, least nanoseconds) of each step; then of "
                             "gathering\nthe batch and of copying assigned values.")
      .def_property_readonly("runs", &runs,
                             "The last runs: arrays of rows (step, thread, begin, end, time with "
                             "the team\nat work, time in chunks), in nanoseconds.");
  m.def(
      "record", [](Program& program, std::size_t kept_runs) { return program.record(kept_runs); },
      py::arg("program"), py::arg("kept_runs"),
      "Time the steps of the program's runs that begin from now on.");
  m.def(
      "stop_recording", [](Program& program) { program.stop_recording(); }, py::arg("program"));
  m.def("step_details", &details, py::arg("program"),
        "Each step: (ops, origins, phase, inputs, outputs, flops, bytes read, bytes written).");
  m.def(
      "placements", &placements, py::arg("program"),
      "The buffers of the arena: (offset, bytes, first step, last step, input, value or scratch).");
  m.def("input_specs", &input_specs, py::arg("program"), "Shape and dtype of each input.");
  m.def("measure_limits", &limits, "Multiply-adds and copies a second, of one thread and of all.");
}

}  // namespace lamina::python
