/** Has a type that another file has as well. */
import { task } from '../../../src/client/index.ts'

export const other = task('patient', async () => 1)
