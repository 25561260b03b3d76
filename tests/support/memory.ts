import type { ByteSource, FileTree } from '../../packages/core/src/platform.js';

/** A file in memory; `reads` counts the bytes that were asked for. */
export function memoryFile(name: string, bytes: Uint8Array): ByteSource & { reads: { bytes: number } } {
  const reads = { bytes: 0 };
  return {
    name,
    size: bytes.length,
    reads,
    read: async (offset, length) => {
      if (offset + length > bytes.length) throw new Error(`${name} ends at ${bytes.length}`);
      reads.bytes += length;
      return bytes.slice(offset, offset + length);
    },
  };
}

/** A folder in memory: texts, bytes, or values that become JSON. */
export function memoryTree(files: Readonly<Record<string, unknown>>): FileTree {
  return {
    name: 'memory',
    list: async () => Object.keys(files),
    open: async (path) => {
      if (!Object.hasOwn(files, path)) return undefined;
      const content = files[path];
      if (content instanceof Uint8Array) return memoryFile(path, content);
      return memoryFile(
        path,
        new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content)),
      );
    },
  };
}

/** A folder with some files replaced as in `memoryTree`; `undefined` takes one away. */
export function replaced(tree: FileTree, files: Readonly<Record<string, unknown>>): FileTree {
  const added = memoryTree(Object.fromEntries(Object.entries(files).filter(([, content]) => content !== undefined)));
  return {
    name: tree.name,
    list: async () => [...(await tree.list()).filter((path) => !Object.hasOwn(files, path)), ...(await added.list())],
    open: (path) => (Object.hasOwn(files, path) ? added.open(path) : tree.open(path)),
  };
}
