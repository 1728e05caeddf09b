#include <algorithm>

#include "convert.h"
#include "lamina/epoch.h"
#include "lamina/python_call.h"

namespace lamina::python {

std::vector<const void*> pointers_of(const Graph& g, const std::vector<py::array>& arrays) {
  if (arrays.size() != g.inputs.size())
    throw Error("the graph takes " + std::to_string(g.inputs.size()) + " inputs, got " +
                std::to_string(arrays.size()));
  std::vector<const void*> pointers;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const Spec& want = g.values[g.inputs[i]].spec;
    const py::array& a = arrays[i];
    const bool same_shape = static_cast<std::size_t>(a.ndim()) == want.shape.size() &&
                            std::equal(want.shape.begin(), want.shape.end(), a.shape());
    if (!same_shape || (a.flags() & py::array::c_style) == 0 ||
        static_cast<std::size_t>(a.itemsize()) != item_size(want.dtype))
      throw ShapeError("input " + std::to_string(i) + " must be a C-contiguous array of " +
                       to_string(want));
    pointers.push_back(a.data());
  }
  return pointers;
}

namespace {

// One run: arrays in, new arrays out.
py::list call(Program& program, std::vector<py::array> inputs) {
  std::transform(inputs.begin(), inputs.end(), inputs.begin(), aligned);
  const Graph& g = program.graph();
  const std::vector<const void*> in = pointers_of(g, inputs);
  py::list results;
  std::vector<void*> out;
  for (const ValueId id : g.outputs) {
    const Spec& spec = g.values[id].spec;
    const py::array array(numpy_dtype(spec.dtype),
                          std::vector<py::ssize_t>(spec.shape.begin(), spec.shape.end()));
    out.push_back(const_cast<void*>(array.data()));
    results.append(array);
  }
  const py::gil_scoped_release release;
  program.run_into(in, out);
  return results;
}

// One run without inputs whose outputs are single numbers: the results of metrics.
py::list read_numbers(Program& program) {
  std::vector<Tensor> results;
  {
    const py::gil_scoped_release release;
    results = program.run({});
  }
  py::list numbers;
  for (const Tensor& t : results) {
    if (t.size() != 1)
      throw Error("read_numbers: an output of shape " + to_string(t.shape()) +
                  " is no single number");
    if (t.dtype() == DType::f32)
      numbers.append(static_cast<double>(*t.data<float>()));
    else if (t.dtype() == DType::f64)
      numbers.append(*t.data<double>());
    else
      numbers.append(array_of(t).attr("item")().cast<double>());
  }
  return numbers;
}

struct PyEpoch {
  std::shared_ptr<Program> main, tail;
  std::vector<py::array> columns;
  std::int64_t rows, batch;
  std::optional<py::array_t<std::int64_t, py::array::c_style>> order;
  std::int64_t first_batch, last_batch;
  py::object before, after, on_nonfinite;
  bool every_batch, watch_loss;
  double interval_ms;
  std::vector<std::optional<py::array>> sinks;
};

bool call_hook(const py::object& hook, std::int64_t batch) {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  if (hook.is_none()) return true;
  const py::object answer = hook(batch);
  return answer.is_none() || answer.cast<bool>();
}

// What the runner relies on: it copies rows without looking.
void check_memory(const py::array& a, const Spec& spec, std::int64_t batch, std::int64_t rows,
                  const std::string& what) {
  if (spec.shape.empty() || spec.shape[0] != batch)
    throw ShapeError("run_epoch: " + what + " is " + to_string(spec) + ", not of " +
                     std::to_string(batch) + " rows");
  const auto row_bytes = static_cast<std::int64_t>(byte_size(spec)) / batch;
  if ((a.flags() & py::array::c_style) == 0 || a.nbytes() < rows * row_bytes)
    throw ShapeError("run_epoch: the array of " + what + " must be C-contiguous and hold " +
                     std::to_string(rows) + " rows of " + to_string(spec));
}

void check_program(const PyEpoch& e, const Program& program, std::int64_t batch) {
  const Graph& g = program.graph();
  if (e.columns.size() != g.inputs.size() || e.sinks.size() > g.outputs.size())
    throw Error("run_epoch: the program has " + std::to_string(g.inputs.size()) + " inputs and " +
                std::to_string(g.outputs.size()) + " outputs, got " +
                std::to_string(e.columns.size()) + " columns and " +
                std::to_string(e.sinks.size()) + " sinks");
  for (std::size_t i = 0; i < e.columns.size(); ++i)
    check_memory(e.columns[i], g.values[g.inputs[i]].spec, batch, e.rows,
                 "input " + std::to_string(i));
  const std::int64_t most =
      e.last_batch < 0 || e.last_batch > e.rows / e.batch ? e.rows : e.last_batch * e.batch;
  for (std::size_t i = 0; i < e.sinks.size(); ++i)
    if (e.sinks[i])
      check_memory(*e.sinks[i], g.values[g.outputs[i]].spec, batch, most,
                   "output " + std::to_string(i));
}

void check_epoch(const PyEpoch& e) {
  if (e.main == nullptr) throw Error("run_epoch: there is no program");
  if (e.batch < 1 || e.rows < 0) throw Error("run_epoch: batch and rows must be positive");
  if (e.rows >= e.batch) check_program(e, *e.main, e.batch);
  if (e.rows % e.batch != 0 && e.tail != nullptr) check_program(e, *e.tail, e.rows % e.batch);
  if (!e.order) return;
  const std::int64_t* order = e.order->data();
  const bool whole = e.order->size() >= e.rows &&
                     std::all_of(order, order + e.rows,
                                 [&](std::int64_t row) { return row >= 0 && row < e.rows; });
  if (!whole) throw Error("run_epoch: order must hold the numbers of rows");
}

py::tuple epoch(const PyEpoch& e) {
  check_epoch(e);
  EpochOptions o;
  o.rows = e.rows;
  o.batch = e.batch;
  if (e.order) o.order = e.order->data();
  o.first_batch = e.first_batch;
  o.last_batch = e.last_batch;
  o.hook_every_batch = e.every_batch;
  o.interval_ms = e.interval_ms;
  o.watch_loss = e.watch_loss;
  if (!e.before.is_none()) o.before_batch = [&](std::int64_t b) { return call_hook(e.before, b); };
  o.after_batch = [&](std::int64_t b) { return call_hook(e.after, b); };
  if (!e.on_nonfinite.is_none())
    o.on_nonfinite = [&](std::int64_t b, std::span<const void* const> inputs) {
      const py::gil_scoped_acquire gil;
      py::list arrays;
      const std::int64_t rows = std::min(e.batch, e.rows - b * e.batch);
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        Spec spec = e.main->graph().values[e.main->graph().inputs[i]].spec;
        spec.shape[0] = rows;
        arrays.append(array_of(Tensor::wrap(spec, const_cast<void*>(inputs[i]), nullptr)));
      }
      e.on_nonfinite(b, arrays);
    };
  std::vector<Column> columns;
  for (const py::array& a : e.columns) columns.push_back({a.data()});
  for (const auto& sink : e.sinks)
    o.sinks.push_back(sink ? const_cast<void*>(sink->data()) : nullptr);
  EpochResult result;
  {
    const py::gil_scoped_release release;
    result = run_epoch(e.main, e.tail, columns, o);
  }
  return py::make_tuple(result.batches, result.stopped);
}

// ---- Python functions inside graphs. Leaked on purpose: graphs may outlive the interpreter's
// modules.
std::map<std::int64_t, py::object>& functions() {
  static auto* map = new std::map<std::int64_t, py::object>();
  return *map;
}

std::int64_t register_function(const py::object& function) {
  static std::int64_t next = 0;
  functions()[++next] = function;
  return next;
}

void call_function(std::int64_t id, std::span<const Spec> in, void* const* ins, const Spec& out,
                   void* result) {
  const py::gil_scoped_acquire gil;
  py::list arrays;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Tensor view = Tensor::wrap(in[i], ins[i], nullptr);
    arrays.append(array_of(view.clone()));  // the function may keep it
  }
  const auto it = functions().find(id);
  if (it == functions().end()) throw Error("py_call: the Python function is gone");
  const py::array value = py::array::ensure(py::module_::import("numpy").attr("ascontiguousarray")(
      it->second(*arrays), numpy_dtype(out.dtype)));
  const Shape shape(value.shape(), value.shape() + value.ndim());
  if (shape != out.shape)
    throw ShapeError("the Python function must return " + to_string(out) + ", it returned shape " +
                     to_string(shape));
  std::memcpy(result, value.data(), byte_size(out));
}

py::list step_table(const Program& program) {
  py::list rows;
  for (const StepInfo& s : program.steps()) {
    py::list in, out;
    for (const Spec& spec : s.in) in.append(to_string(spec));
    for (const Spec& spec : s.out) out.append(to_string(spec));
    rows.append(py::make_tuple(s.op, s.origin, in, out, s.flops));
  }
  return rows;
}

}  // namespace

void bind_program(py::module_& m) {
  py::class_<Program, std::shared_ptr<Program>>(m, "Program", "A graph made ready to run.")
      .def(py::init([](const GraphHandle& g, bool fuse, bool reuse, bool borrow) {
             const ProgramOptions wanted = default_options();
             return Program::make(g.graph, {fuse && wanted.fuse, reuse && wanted.reuse, borrow});
           }),
           py::arg("graph"), py::arg("fuse") = true, py::arg("reuse") = true,
           py::arg("borrow") = false)
      .def("__call__", &call, py::arg("inputs"), "Run once: arrays in, new arrays out.")
      .def(
          "run",
          [](Program& program, const std::vector<Tensor>& inputs) {
            const py::gil_scoped_release release;
            return program.run(inputs);
          },
          py::arg("inputs"), "Run once: tensors in, new tensors out.")
      .def("read_numbers", &read_numbers,
           "Run once without inputs; the outputs, single numbers, as floats.")
      .def_property_readonly("arena_bytes", &Program::arena_bytes)
      .def_property_readonly("step_count", &Program::step_count)
      .def_property_readonly("steps", &step_table,
                             "(op, origin, inputs, outputs, flops) of each step.")
      .def_property_readonly(
          "input_bounds", &Program::input_bounds,
          "Smallest exclusive bound that an op demands of each input as an index, or -1.")
      .def_property_readonly("text", [](const Program& p) { return to_text(p.graph()); });

  m.def(
      "run_epoch",
      [](std::shared_ptr<Program> main, std::shared_ptr<Program> tail,
         std::vector<py::array> columns, std::int64_t rows, std::int64_t batch,
         std::optional<py::array_t<std::int64_t, py::array::c_style>> order,
         std::int64_t first_batch, std::int64_t last_batch, py::object before, py::object after,
         bool every_batch, double interval_ms, bool watch_loss, py::object on_nonfinite,
         std::vector<std::optional<py::array>> sinks) {
        std::transform(columns.begin(), columns.end(), columns.begin(), aligned);
        return epoch({std::move(main), std::move(tail), std::move(columns), rows, batch,
                      std::move(order), first_batch, last_batch, std::move(before),
                      std::move(after), std::move(on_nonfinite), every_batch, watch_loss,
                      interval_ms, std::move(sinks)});
      },
      py::arg("main"), py::arg("tail"), py::arg("columns"), py::arg("rows"), py::arg("batch"),
      py::arg("order") = py::none(), py::arg("first_batch") = 0, py::arg("last_batch") = -1,
      py::arg("before") = py::none(), py::arg("after") = py::none(), py::arg("every_batch") = false,
      py::arg("interval_ms") = 50.0, py::arg("watch_loss") = false,
      py::arg("on_nonfinite") = py::none(),
      py::arg("sinks") = std::vector<std::optional<py::array>>{},
      "Run the batches of an epoch; returns (batches run, stopped by a hook).");

  m.def(
      "shuffled_order",
      [](std::int64_t rows, std::uint64_t seed, std::uint64_t epoch_number) {
        py::array_t<std::int64_t> order(rows);
        shuffled_order(rows, seed, epoch_number, order.mutable_data());
        return order;
      },
      py::arg("rows"), py::arg("seed"), py::arg("epoch"));

  m.def("register_function", &register_function, py::arg("function"), "An id for the op py_call.");
  m.def(
      "forget_function", [](std::int64_t id) { functions().erase(id); }, py::arg("id"));
  set_python_caller(&call_function);
}

}  // namespace lamina::python
