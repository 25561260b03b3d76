/** What the engines on this page have asked of WebGPU. */
export const gpu = {
  /** Runs of shaders. */
  dispatches: 0,
  /** Bindings of a shader to buffers: a run that is replayed makes none. */
  bindGroups: 0,
  /** Buffers that are alive, and their bytes. */
  buffers: 0,
  bytes: 0,
  peakBytes: 0,
  /** Counts, and neither compiles nor computes: the software adapter would take a minute for what need not be right to be counted. */
  idle: false,
};

if ('GPUDevice' in globalThis) {
  const alive = new WeakSet<GPUBuffer>();
  const device = GPUDevice.prototype;
  const pass = GPUComputePassEncoder.prototype;
  const { createBuffer } = device;
  device.createBuffer = function (...args) {
    const buffer = createBuffer.apply(this, args);
    alive.add(buffer);
    gpu.buffers += 1;
    gpu.bytes += buffer.size;
    gpu.peakBytes = Math.max(gpu.peakBytes, gpu.bytes);
    return buffer;
  };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () {
    if (alive.delete(this)) {
      gpu.buffers -= 1;
      gpu.bytes -= this.size;
    }
    return destroy.call(this);
  };

  const pipeline = { getBindGroupLayout: () => ({}) };
  whenIdle(device, 'createShaderModule', () => ({}));
  whenIdle(device, 'createComputePipeline', () => pipeline);
  whenIdle(device, 'createComputePipelineAsync', () => Promise.resolve(pipeline));
  whenIdle(device, 'createBindGroup', () => ({}));
  replace(device, 'createBindGroup', (create) => {
    gpu.bindGroups += 1;
    return create();
  });
  whenIdle(pass, 'setPipeline', () => undefined);
  whenIdle(pass, 'setBindGroup', () => undefined);
  for (const name of ['dispatchWorkgroups', 'dispatchWorkgroupsIndirect'] as const) {
    whenIdle(pass, name, () => undefined);
    replace(pass, name, (dispatch) => {
      gpu.dispatches += 1;
      return dispatch();
    });
  }
}

function whenIdle(on: object, name: string, instead: () => unknown): void {
  replace(on, name, (call) => (gpu.idle ? instead() : call()));
}

/** Puts `around` between callers and a method. */
function replace(on: object, name: string, around: (call: () => unknown) => unknown): void {
  const method: unknown = Reflect.get(on, name);
  if (typeof method !== 'function') throw new Error(`no ${name}`);
  Reflect.set(on, name, function (this: unknown, ...args: unknown[]) {
    return around(() => Reflect.apply(method, this, args));
  });
}
