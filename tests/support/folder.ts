import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileTree } from '../../packages/core/src/platform.js';

/** A folder of small files, for tests of core, which knows no file system. */
export function folder(root: string): FileTree {
  return {
    name: root,
    list: async () =>
      readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/')),
    open: async (path) => {
      const file = join(root, path);
      if (!existsSync(file)) return undefined;
      const bytes = readFileSync(file);
      return {
        name: path,
        path: file,
        size: bytes.length,
        read: async (offset, length) => {
          if (offset + length > bytes.length) throw new Error(`${path} ends at ${bytes.length}`);
          return new Uint8Array(bytes.subarray(offset, offset + length));
        },
      };
    },
  };
}
