/**
 * Errors that reach nobody: a promise that user code forgot, a listener of its that throws. They are logged and the
 * process goes on, for ending it would take every other task of the node down with the one that is at fault. Logged is
 * where they were thrown, not what they say: that may quote values.
 */
import type { Logger } from 'pino'
import { strayError } from './redaction.ts'

export function outliveStrayErrors(logger: Logger): void {
  process.on('unhandledRejection', (error) => {
    logger.error(
      { stray: strayError(error) },
      'a rejected promise was handled by nobody; await it in the task that made it',
    )
  })
  process.on('uncaughtException', (error) => {
    logger.error({ stray: strayError(error) }, 'an error was thrown outside of any task; catch it where it is thrown')
  })
}
