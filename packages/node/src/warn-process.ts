/** Where nobody listens, a warning is the process's. */
export function warnProcess(message: string): void {
  process.emitWarning(message, 'TextualInversionWarning');
}
