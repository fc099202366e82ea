/** Planted bugs in what becomes of large values. */
import { type CheckpointPart, LedgerSaving } from '../../src/actors/ledger/checkpoint.ts'
import { ObjectReferences } from '../../src/actors/ledger/object-references.ts'
import { BucketObjects } from '../../src/nats/objects.ts'
import { type Plant, replaceMethod } from './plants.ts'

const features = ['large values', 'retention']

export const plantedInObjects: readonly Plant[] = [
  {
    name: 'sweep-without-index',
    bug: 'Large values are removed when they are old, whatever refers to them.',
    patch: () =>
      replaceMethod<ObjectReferences, [string, number], boolean>(ObjectReferences.prototype, 'has', () => () => false),
    kinds: [],
    features,
  },
  {
    name: 'references-not-saved',
    bug: 'A checkpoint says that it has all references to large values, and has none.',
    patch: () =>
      replaceMethod<LedgerSaving, [], CheckpointPart[]>(LedgerSaving.prototype, 'others', (original) => {
        return function () {
          return original.call(this).filter(([of]) => of !== 'objects')
        }
      }),
    kinds: ['crash control'],
    features,
  },
  {
    name: 'stored-once-for-good',
    bug: 'A process that has stored a large value once takes it to be there from then on.',
    patch: () => {
      const stored = new Map<string, string>()
      return replaceMethod<BucketObjects, [Uint8Array], Promise<string>>(BucketObjects.prototype, 'put', (original) => {
        return async function (data) {
          const text = Buffer.from(data).toString('latin1')
          const name = stored.get(text) ?? (await original.call(this, data))
          stored.set(text, name)
          return name
        }
      })
    },
    kinds: [],
    features,
  },
]
