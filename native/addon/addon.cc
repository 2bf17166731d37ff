// addon: what JavaScript finds in the module; nothing else belongs here.
#include <napi.h>

#include "exports.h"

namespace volant {

namespace {

template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
void Export(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Function>(env, name));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Export<TapAttach>(env, exports, "tapAttach");
  Export<TapsDelete>(env, exports, "tapsDelete");
  Export<LinkNames>(env, exports, "linkNames");
  Export<Links>(env, exports, "links");
  Export<LinkJoin>(env, exports, "linkJoin");
  Export<BridgeEnsure>(env, exports, "bridgeEnsure");
  Export<BridgeDelete>(env, exports, "bridgeDelete");
  Export<AddressDelete>(env, exports, "addressDelete");
  Export<LinkAddresses>(env, exports, "linkAddresses");
  Export<FlowsForget>(env, exports, "flowsForget");
  Export<Launch>(env, exports, "launch");
  Export<SandboxTry>(env, exports, "sandboxTry");
  Export<PidfdOpen>(env, exports, "pidfdOpen");
  Export<PidfdSignal>(env, exports, "pidfdSignal");
  Export<CloseFd>(env, exports, "closeFd");
  Export<TscKhz>(env, exports, "tscKhz");
  Export<EndProcess>(env, exports, "endProcess");
  Export<LockFile>(env, exports, "lockFile");
  Export<ExitWatchStart>(env, exports, "exitWatchStart");
  Export<ExitWatchAdd>(env, exports, "exitWatchAdd");
  Export<NetworkWatchStart>(env, exports, "networkWatchStart");
  Export<ExitWatchStop>(env, exports, "exitWatchStop");
  Export<VfioProbeGroup>(env, exports, "vfioProbeGroup");
  return exports;
}

}  // namespace

}  // namespace volant

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) {
  return volant::Init(env, exports);
}

NODE_API_MODULE(volant_native, InitModule)
