#ifndef FORETOKEN_KERNELS_GGML_PLUGIN_H_
#define FORETOKEN_KERNELS_GGML_PLUGIN_H_

namespace foretoken {

// Makes the kernels known to ggml's CPU back end: models that are loaded from then on have their
// weights packed for them (see PackWeightsScope), and graphs run on them within a ForwardScope.
// To be called before the first model is loaded; any number of times.
void RegisterGgmlKernels();

// While one is alive on a thread, models that it loads get their weights packed; without, they are
// laid out as ggml has them.
class PackWeightsScope {
 public:
  PackWeightsScope();
  ~PackWeightsScope();
  PackWeightsScope(const PackWeightsScope&) = delete;
  PackWeightsScope& operator=(const PackWeightsScope&) = delete;
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGML_PLUGIN_H_
