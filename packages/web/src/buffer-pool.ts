/** What TensorFlow.js' WebGPU backend keeps its buffers in; it reuses those of the same size and gives none back. */
export interface BufferPool {
  readonly freeBuffers: Map<string, GPUBuffer[]>;
  numFreeBuffers: number;
  readonly numBytesUsed: number;
  numBytesAllocated: number;
  releaseBuffer(buffer: GPUBuffer, reuse?: boolean): void;
}

/** Bytes that may lie about unused. */
const MAX_FREE_BYTES = 2 ** 28;

const limited = new WeakSet<BufferPool>();

/** Gives buffers back to the GPU where too many are unused: every new shape brings sizes that no old buffer fits. */
export function limitPool(pool: BufferPool): void {
  if (limited.has(pool)) return;
  limited.add(pool);
  const release = pool.releaseBuffer.bind(pool);
  pool.releaseBuffer = (buffer, reuse = true) => {
    const free = pool.numBytesAllocated - pool.numBytesUsed;
    release(buffer, reuse && free + buffer.size <= MAX_FREE_BYTES);
  };
}

/** Gives back all buffers that are not in use. */
export function emptyPool(pool: BufferPool): void {
  for (const buffers of pool.freeBuffers.values()) {
    for (const buffer of buffers.splice(0)) {
      pool.numFreeBuffers -= 1;
      pool.numBytesAllocated -= buffer.size;
      buffer.destroy();
    }
  }
}
