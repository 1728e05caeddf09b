// py_call(inputs...; id, dtype, shape) -> one tensor: a Python function inside a graph. No
// gradient.
#include "lamina/python_call.h"
#include "ops/op.h"

namespace lamina {
namespace {

PythonCaller python_caller = nullptr;

std::vector<Spec> infer_py_call(const InferArgs& a) {
  attr_int(a.attrs, "id");
  return {{parse_dtype(attr_str(a.attrs, "dtype", "float32")), attr_ints(a.attrs, "shape")}};
}

Bound bind_py_call(const BindArgs& a) {
  const std::int64_t id = attr_int(a.attrs, "id");
  const std::vector<Spec> in(a.in.begin(), a.in.end());
  const Spec out = a.out[0];
  return {[=](const Run& r) {
            if (python_caller == nullptr) throw Error("py_call: this process has no Python");
            python_caller(id, in, r.ins, out, r.outs[0]);
          },
          0, 0};
}

const Register registered{
    {.name = "py_call", .traits = kCallsPython, .infer = infer_py_call, .bind = bind_py_call}};

}  // namespace

void set_python_caller(PythonCaller caller) { python_caller = caller; }

}  // namespace lamina
