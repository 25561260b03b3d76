/**
 * A signal that Ctrl-C aborts: the job ends after its current step and saves. A second Ctrl-C leaves at once.
 * @param onFirst - Says that the job is being stopped.
 */
export function interruptSignal(onFirst: () => void): AbortSignal {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      // `process.exit` would wait for the engine's threads, of which one may be in a step of many seconds. A shell calls this end 130.
      process.removeAllListeners(name);
      process.kill(process.pid, name);
      return;
    }
    onFirst();
    controller.abort(new Error('interrupted'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}
