import { type ByteSource, type FileTree, TextualInversionError } from '@textual-inversion/core';

/** A blob or file, read by ranges: the browser keeps it on disk where it is large. */
export function blobSource(blob: Blob, name: string, version = String(blob.size)): ByteSource {
  return {
    name,
    size: blob.size,
    version,
    async read(offset, length) {
      if (offset + length > blob.size) throw tooShort(name, offset, length, blob.size);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new TextualInversionError('MODEL_MISSING_FILE', {
          where: name,
          expected: 'the file that was chosen',
          found: 'one that has changed or is gone',
          fix: 'Choose it again.',
          cause,
        });
      }
    },
  };
}

/** Bytes in memory. */
export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(offset, length) {
      if (offset + length > bytes.length) throw tooShort(name, offset, length, bytes.length);
      return bytes.slice(offset, offset + length);
    },
  };
}

/** Files that were dropped or picked as a folder; their common first folder is the model's. */
export function filesTree(files: readonly File[]): FileTree {
  const paths = new Map(files.map((file) => [file.webkitRelativePath || file.name, file]));
  const [first = ''] = paths.keys();
  const top = first.slice(0, first.indexOf('/') + 1);
  const shared = top !== '' && [...paths.keys()].every((path) => path.startsWith(top));
  const relative = new Map([...paths].map(([path, file]) => [shared ? path.slice(top.length) : path, file]));
  return {
    name: shared ? top.slice(0, -1) : 'chosen files',
    list: async () => [...relative.keys()],
    open: async (path) => {
      const file = relative.get(path);
      return file && blobSource(file, path, `${file.size}-${file.lastModified}`);
    },
  };
}

/** A folder that the user picked with `showDirectoryPicker`, or one in the origin private file system. */
export function directoryTree(directory: FileSystemDirectoryHandle): FileTree {
  return {
    name: directory.name,
    list: async () => {
      const paths: string[] = [];
      const walk = async (folder: FileSystemDirectoryHandle, prefix: string): Promise<void> => {
        for await (const [name, handle] of folder.entries()) {
          if (isDirectory(handle)) await walk(handle, `${prefix}${name}/`);
          else paths.push(prefix + name);
        }
      };
      await walk(directory, '');
      return paths;
    },
    open: async (path) => {
      const parts = path.split('/');
      const name = parts.pop() ?? '';
      try {
        let folder = directory;
        for (const part of parts) folder = await folder.getDirectoryHandle(part);
        const file = await (await folder.getFileHandle(name)).getFile();
        return blobSource(file, path, `${file.size}-${file.lastModified}`);
      } catch (error) {
        if (error instanceof DOMException && ['NotFoundError', 'TypeMismatchError'].includes(error.name))
          return undefined;
        throw error;
      }
    },
  };
}

function isDirectory(handle: FileSystemHandle): handle is FileSystemDirectoryHandle {
  return handle.kind === 'directory';
}

function tooShort(name: string, offset: number, length: number, size: number): TextualInversionError {
  return new TextualInversionError('WEIGHT_FORMAT', {
    where: name,
    expected: `${length} bytes from ${offset}`,
    found: `the end of the file at ${size}`,
  });
}
