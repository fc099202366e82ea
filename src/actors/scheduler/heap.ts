/**
 * A binary min-heap of items by a number given at insertion; equal numbers leave in any order. O(log n). Each item may carry
 * a small number of its owner's, its mark; arrays instead of objects, because there may be a million items.
 */
export class Heap<T> {
  private readonly ranks: number[] = []
  private readonly items: T[] = []
  private readonly marks: number[] = []

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

  peekMark(): number {
    return this.marks[0] ?? 0
  }

  /** The smallest and some of those that follow it, in no particular order. */
  near(count: number): T[] {
    return this.items.slice(0, count)
  }

  push(item: T, rank: number, mark = 0): void {
    const { ranks, items, marks } = this
    let at = items.length
    items.push(item)
    ranks.push(rank)
    marks.push(mark)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (ranks[parent]! <= rank) break
      items[at] = items[parent]!
      ranks[at] = ranks[parent]!
      marks[at] = marks[parent]!
      at = parent
    }
    items[at] = item
    ranks[at] = rank
    marks[at] = mark
  }

  pop(): T | undefined {
    const { ranks, items } = this
    const top = items[0]
    const item = items.pop()
    const rank = ranks.pop()
    const mark = this.marks.pop()
    if (items.length > 0) this.sink(item as T, rank as number, mark as number)
    return top
  }

  /** Drops every item that `isWanted` does not want. O(n). */
  sweep(isWanted: (item: T, mark: number) => boolean): void {
    const kept: [T, number, number][] = []
    for (const [i, item] of this.items.entries())
      if (isWanted(item, this.marks[i]!)) kept.push([item, this.ranks[i]!, this.marks[i]!])
    this.clear()
    for (const [item, rank, mark] of kept) this.push(item, rank, mark)
  }

  clear(): void {
    this.items.length = 0
    this.ranks.length = 0
    this.marks.length = 0
  }

  /** Puts `item` at the root and lets it sink to its place. */
  private sink(item: T, rank: number, mark: number): void {
    const { ranks, items, marks } = this
    const { length } = items
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && ranks[child + 1]! < ranks[child]!) child++
      if (ranks[child]! >= rank) break
      items[at] = items[child]!
      ranks[at] = ranks[child]!
      marks[at] = marks[child]!
      at = child
    }
    items[at] = item
    ranks[at] = rank
    marks[at] = mark
  }
}
