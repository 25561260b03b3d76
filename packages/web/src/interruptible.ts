/** Calls that can all be ended at once, whatever they wait for. */
export interface Interruptible {
  /** What `action` gives, unless the interruption comes before; after it, nothing is begun. */
  run<T>(action: () => Promise<T>): Promise<T>;
  /** Ends all that runs, and all that is to run, with an error. The first counts. */
  interrupt(error: Error): void;
}

export function interruptible(): Interruptible {
  // A race with a promise that stays open would keep each call's result as long as that.
  const waiting = new Set<(error: Error) => void>();
  let interruption: Error | undefined;
  return {
    run: (action) =>
      new Promise((resolve, reject) => {
        if (interruption) return reject(interruption);
        waiting.add(reject);
        action()
          .finally(() => waiting.delete(reject))
          .then(resolve, reject);
      }),
    interrupt(error) {
      interruption ??= error;
      for (const reject of waiting) reject(interruption);
      waiting.clear();
    },
  };
}
