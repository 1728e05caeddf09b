// lamina._core: the only C++ that knows Python.
#include "convert.h"
#include "lamina/runtime.h"

namespace lamina::python {
namespace {

void translate_errors() {
  // Engine errors are ordinary Python ones: a wrong type is a TypeError, all else a ValueError.
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    } catch (const Error& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    }
  });
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled engine: tensors, graphs, programs, epochs.";
  translate_errors();
  bind_tensor(m);
  bind_graph(m);
  bind_program(m);
  bind_profile(m);
  m.def("version", &version);
  m.def("isa", &isa, "Level the loaded engine was compiled for.");
  m.def("isa_level", &isa_level);
  m.def("compiler", &compiler);
  m.def("eigen_version", &eigen_version);
  m.def("openmp_runtime", &openmp_runtime);
  m.def("num_threads", &num_threads, "Threads the next step may use.");
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
}

}  // namespace lamina::python
