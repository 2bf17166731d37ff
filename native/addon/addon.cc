// addon: the list of functions that JavaScript finds in the module. Nothing else belongs here.
#include <napi.h>

#include "exports.h"

namespace volant {

namespace {

template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
void Export(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Function>(env, name));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Export<TapsDelete>(env, exports, "tapsDelete");
  Export<TapsSettle>(env, exports, "tapsSettle");
  Export<SetElementsChange>(env, exports, "setElementsChange");
  Export<LinkNames>(env, exports, "linkNames");
  Export<Links>(env, exports, "links");
  Export<LinkJoin>(env, exports, "linkJoin");
  Export<BridgeEnsure>(env, exports, "bridgeEnsure");
  Export<BridgeDelete>(env, exports, "bridgeDelete");
  Export<AddressDelete>(env, exports, "addressDelete");
  Export<LinkAddresses>(env, exports, "linkAddresses");
  Export<FlowsDelete>(env, exports, "flowsDelete");
  Export<FlowsForget>(env, exports, "flowsForget");
  Export<FlowsFrom>(env, exports, "flowsFrom");
  Export<Launch>(env, exports, "launch");
  Export<SandboxTry>(env, exports, "sandboxTry");
  Export<HypervisorsFind>(env, exports, "hypervisorsFind");
  Export<PidfdOpen>(env, exports, "pidfdOpen");
  Export<PidfdSignal>(env, exports, "pidfdSignal");
  Export<CloseFd>(env, exports, "closeFd");
  Export<ThreadRealTime>(env, exports, "threadRealTime");
  Export<ThreadCpuMs>(env, exports, "threadCpuMs");
  Export<TscKhz>(env, exports, "tscKhz");
  Export<EndProcess>(env, exports, "endProcess");
  Export<LockFile>(env, exports, "lockFile");
  Export<ExitWatchStart>(env, exports, "exitWatchStart");
  Export<ExitWatchAdd>(env, exports, "exitWatchAdd");
  Export<NetworkWatchStart>(env, exports, "networkWatchStart");
  Export<ExitWatchStop>(env, exports, "exitWatchStop");
  Export<ListeningSockets>(env, exports, "listeningSockets");
  Export<ListenBacklog>(env, exports, "listenBacklog");
  Export<ListenHandles>(env, exports, "listenHandles");
  Export<FdReplace>(env, exports, "fdReplace");
  Export<VfioProbeGroup>(env, exports, "vfioProbeGroup");
  Export<XattrSet>(env, exports, "xattrSet");
  Export<NodeMake>(env, exports, "nodeMake");
  return exports;
}

}  // namespace

}  // namespace volant

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) {
  return volant::Init(env, exports);
}

NODE_API_MODULE(volant_native, InitModule)
