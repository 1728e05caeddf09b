#include <cstring>

#include "convert.h"

namespace lamina::python {
namespace {

// Keeps an array alive from C++; the last owner may drop it without holding the GIL.
struct HeldArray {
  bool is_writeable;
  void operator()(void* p) const {
    if (!Py_IsInitialized()) return;
    const py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(p));
  }
};
std::shared_ptr<void> keep_alive(const py::array& array) {
  PyObject* raw = array.ptr();
  Py_INCREF(raw);
  return {raw, HeldArray{array.writeable()}};
}

// May Python write into the tensor's memory? Not into that of variables, whose changes are counted.
bool is_writeable(const Tensor& tensor) {
  const HeldArray* const held = std::get_deleter<HeldArray>(tensor.owner());
  return held == nullptr ? !tensor.is_state() : held->is_writeable;
}

DType dtype_of(const py::dtype& dtype) {
  const char kind = dtype.kind();
  const auto size = dtype.itemsize();
  if (dtype.byteorder() == '>')
    throw TypeError(
        "arrays of foreign byte order are not taken; use arr.astype(arr.dtype.newbyteorder('='))");
  if (kind == 'f' && size == 4) return DType::f32;
  if (kind == 'f' && size == 2) return DType::f16;
  if (kind == 'f' && size == 8) return DType::f64;
  if (kind == 'i' && size == 4) return DType::i32;
  if (kind == 'i' && size == 8) return DType::i64;
  if (kind == 'u' && size == 1) return DType::u8;
  if (kind == 'i' && size == 1) return DType::i8;
  if (kind == 'i' && size == 2) return DType::i16;
  if (kind == 'u' && size == 2) return DType::u16;
  if (kind == 'u' && size == 4) return DType::u32;
  if (kind == 'b') return DType::boolean;
  throw TypeError("arrays of dtype " + std::string(py::str(dtype)) +
                  " are not taken: use float16 to float64, int8 to int64, uint8 to uint32 or bool");
}

}  // namespace

// NumPy has no bfloat16 and no float8: their arrays hold the bits. A search by name would take
// longer than a small model's prediction.
py::dtype numpy_dtype(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return py::dtype::of<float>();
    case DType::f64:
      return py::dtype::of<double>();
    case DType::i32:
      return py::dtype::of<std::int32_t>();
    case DType::i64:
      return py::dtype::of<std::int64_t>();
    case DType::boolean:
      return py::dtype::of<bool>();
    case DType::bf16:
      return py::dtype::of<std::uint16_t>();
    case DType::u8:
    case DType::f8e4m3:
    case DType::f8e5m2:
      return py::dtype::of<std::uint8_t>();
    default:
      return py::dtype(dtype_name(dtype));
  }
}

py::array aligned(const py::array& array) {
  const auto address = reinterpret_cast<std::uintptr_t>(array.data());
  const auto size = static_cast<std::uintptr_t>(array.itemsize());
  return size == 0 || address % size == 0 ? array : py::array(array.attr("copy")());
}

Tensor tensor_of(const py::array& given) {
  const py::array array = aligned(given);
  if ((array.flags() & py::array::c_style) == 0)
    throw TypeError("the array must be C-contiguous; use numpy.ascontiguousarray");
  Spec spec{dtype_of(array.dtype()), Shape(array.shape(), array.shape() + array.ndim())};
  return Tensor::wrap(std::move(spec), const_cast<void*>(array.data()), keep_alive(array));
}

Tensor tensor_of_bits(const py::array& array, const std::string& dtype) {
  Tensor bits = tensor_of(array);
  const Spec spec{parse_dtype(dtype), bits.shape()};
  if (item_size(spec.dtype) != item_size(bits.dtype()))
    throw TypeError("a number of " + dtype + " has " + std::to_string(item_size(spec.dtype)) +
                    " bytes, one of the array " + std::to_string(item_size(bits.dtype())));
  return Tensor::wrap(spec, bits.raw(), bits.owner());
}

py::array array_of(const Tensor& tensor) {
  auto* owner = new Tensor(tensor);
  const py::capsule base(owner, [](void* p) { delete static_cast<Tensor*>(p); });
  const std::vector<py::ssize_t> shape(tensor.shape().begin(), tensor.shape().end());
  py::array array(numpy_dtype(tensor.dtype()), shape, owner->raw(), base);
  if (!is_writeable(tensor)) array.attr("setflags")(py::arg("write") = false);
  return array;
}

Shape shape_of(const py::iterable& sizes) {
  Shape shape;
  for (const py::handle size : sizes) shape.push_back(size.is_none() ? kUnknown : size.cast<Dim>());
  return shape;
}

ShapeTuple tuple_of(const Shape& shape) {
  py::tuple out(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i)
    out[i] = shape[i] == kUnknown ? py::object(py::none()) : py::object(py::int_(shape[i]));
  return out;
}

void bind_tensor(py::module_& m) {
  py::class_<Tensor>(m, "Tensor", "Numbers in aligned memory; shares it with NumPy both ways.")
      .def(py::init(&tensor_of), py::arg("array"),
           "A tensor on the array's memory, without a copy where that is aligned.")
      .def_static("of_bits", &tensor_of_bits, py::arg("array"), py::arg("dtype"),
                  "A tensor on the array's memory, whose bits are numbers of `dtype`.")
      .def_property_readonly("shape", [](const Tensor& t) { return tuple_of(t.shape()); })
      .def_property_readonly("dtype", [](const Tensor& t) { return dtype_name(t.dtype()); })
      .def_property_readonly("size", &Tensor::size)
      .def("clone", &Tensor::clone)
      .def("to_numpy", &array_of,
           "The values, without a copy; of a type that NumPy lacks (bfloat16, float8), its bits.");

  py::class_<Variable, VariablePtr>(m, "Variable", "State that a step reads and assigns.")
      .def(py::init([](std::string name, const Tensor& value) {
             return std::make_shared<Variable>(std::move(name), value.clone());
           }),
           py::arg("name"), py::arg("value"))
      .def_property_readonly("name", &Variable::name)
      .def_property_readonly("shape", [](const Variable& v) { return tuple_of(v.spec().shape); })
      .def_property_readonly("dtype", [](const Variable& v) { return dtype_name(v.spec().dtype); })
      .def_property_readonly(
          "value", [](const Variable& v) { return v.value(); }, "The current value; shares memory.")
      .def("assign", &Variable::assign, py::arg("value"));

  m.def(
      "empty_array",
      [](const py::iterable& shape, const std::string& dtype) {
        return array_of(Tensor({parse_dtype(dtype), shape_of(shape)}));
      },
      py::arg("shape"), py::arg("dtype"), "An array of any values, in the engine's own memory.");
  m.def(
      "set_to_zero",
      [](const std::vector<VariablePtr>& variables) {
        for (const VariablePtr& v : variables) v->set_to_zero();
      },
      py::arg("variables"), "Fill variables with zeros.");

  m.def(
      "pack",
      [](const std::vector<VariablePtr>& variables, std::string name) {
        return pack(variables, std::move(name));
      },
      py::arg("variables"), py::arg("name"),
      "Move variables of one dtype into one buffer; returns the whole of it.");
}

}  // namespace lamina::python
