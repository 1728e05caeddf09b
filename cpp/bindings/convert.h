// Between Python objects and the engine's types; shared by the bindings' files.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include "lamina/graph.h"

namespace lamina::python {

namespace py = pybind11;
using ShapeTuple = py::typing::Tuple<py::typing::Optional<py::int_>, py::ellipsis>;

// A graph under construction, with its builder.
struct GraphHandle {
  Graph graph;
  Builder builder{graph};
  GraphHandle() = default;
  GraphHandle(const GraphHandle&) = delete;
  GraphHandle& operator=(const GraphHandle&) = delete;
};

py::dtype numpy_dtype(DType dtype);
// The array; a copy where its items do not begin at multiples of their size, as kernels expect.
py::array aligned(const py::array& array);
// A tensor on the (aligned) array's own memory, which it keeps alive. The array must be
// C-contiguous, in native byte order and of an engine dtype: TypeError otherwise.
Tensor tensor_of(const py::array& array);
// The same, where the array's items are the bits of `dtype`, a type that NumPy lacks.
Tensor tensor_of_bits(const py::array& array, const std::string& dtype);
// An array on the tensor's own memory, which it keeps alive.
py::array array_of(const Tensor& tensor);
Shape shape_of(const py::iterable& sizes);  // None is an unknown size
ShapeTuple tuple_of(const Shape& shape);
Attrs attrs_of(const py::dict& attrs);
py::dict dict_of(const Attrs& attrs);

// The arrays' memory; they must have the specs of the graph's inputs.
std::vector<const void*> pointers_of(const Graph& graph, const std::vector<py::array>& arrays);

void bind_tensor(py::module_& m);
void bind_graph(py::module_& m);
void bind_program(py::module_& m);
void bind_profile(py::module_& m);

}  // namespace lamina::python
