/** The same build with what was missing: `migrate` says what became of the old states. */
import { setup } from 'xstate'
import { task } from '../../../src/client/index.ts'
import * as broken from './broken.ts'
import { form } from './first.ts'

export { form }

export const parcel = task(
  'parcel',
  broken.parcel.logic.kind === 'machine' ? broken.parcel.logic.actor : setup({}).createMachine({}),
  {
    version: '2',
    migrate: (_from, snapshot) => ({
      ...snapshot,
      value: snapshot.value === 'packed' ? 'boxed' : snapshot.value,
      children: {},
    }),
  },
)

export const letter = task(
  'letter',
  broken.letter.logic.kind === 'machine' ? broken.letter.logic.actor : setup({}).createMachine({}),
  {
    version: '2',
    migrate: (from, snapshot) => {
      if (from.version !== '1') throw new Error(`version ${from.version} is not known`)
      return { ...snapshot, context: { stamps: Array.from({ length: snapshot.context.stamps }, () => 'stamp') } }
    },
  },
)
