/** A binary min-heap of items by a number given at insertion; equal numbers leave in any order. O(log n). */
export class Heap<T> {
  private readonly ranks: number[] = []
  private readonly items: T[] = []

  get length(): number {
    return this.items.length
  }

  /** The smallest item and its rank. */
  peek(): T | undefined {
    return this.items[0]
  }

  peekRank(): number {
    return this.ranks[0] ?? Number.POSITIVE_INFINITY
  }

  push(item: T, rank: number): void {
    const { ranks, items } = this
    let at = items.length
    items.push(item)
    ranks.push(rank)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (ranks[parent]! <= rank) break
      items[at] = items[parent]!
      ranks[at] = ranks[parent]!
      at = parent
    }
    items[at] = item
    ranks[at] = rank
  }

  pop(): T | undefined {
    const { ranks, items } = this
    const top = items[0]
    const item = items.pop()
    const rank = ranks.pop()
    if (items.length > 0) this.sink(item as T, rank as number)
    return top
  }

  /** Drops every item that `isWanted` does not want. O(n). */
  sweep(isWanted: (item: T) => boolean): void {
    const kept: [T, number][] = []
    for (const [i, item] of this.items.entries()) if (isWanted(item)) kept.push([item, this.ranks[i]!])
    this.clear()
    for (const [item, rank] of kept) this.push(item, rank)
  }

  clear(): void {
    this.items.length = 0
    this.ranks.length = 0
  }

  /** Puts `item` at the root and lets it sink to its place. */
  private sink(item: T, rank: number): void {
    const { ranks, items } = this
    const { length } = items
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && ranks[child + 1]! < ranks[child]!) child++
      if (ranks[child]! >= rank) break
      items[at] = items[child]!
      ranks[at] = ranks[child]!
      at = child
    }
    items[at] = item
    ranks[at] = rank
  }
}
