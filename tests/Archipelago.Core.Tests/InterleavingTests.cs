#if DEBUG
using Archipelago.Core.Internals;

namespace Archipelago.Core.Tests;

[CollectionDefinition("Alone", DisableParallelization = true)]
public class Alone;

/// <summary>Each lock-free type, in every order in which the steps of two of its operations can follow one another.</summary>
/// <remarks>Alone: whether a slot serves again depends on whether any thread of the process is inside a report, and every order must lead to the same when it is gone through again.</remarks>
[Collection("Alone")]
public class InterleavingTests
{
    private static Position Place(float n) => new(n, n, n);

    private static Position[] Places(IslandEngine engine)
    {
        engine.Flush();
        engine.PublishSnapshot();
        using IslandSnapshot snapshot = engine.AcquireSnapshot();
        return [.. snapshot.Members.ToArray().Select(m => m.Position)];
    }

    [Fact]
    public void Two_reports_of_one_peer_leave_the_whole_of_one_of_them()
    {
        int orders = Interleavings.Explore(() =>
        {
            var engine = new IslandEngine();
            PeerHandle peer = engine.Add(Place(0));
            engine.Flush();
            return ([() => engine.Move(peer, Place(1)), () => engine.Move(peer, Place(2))], () =>
            {
                Position at = Assert.Single(Places(engine));
                Assert.True(at.X == at.Z && at.X is 1 or 2);
            });
        }, preemptions: 3);
        Assert.True(orders > 100, $"{orders}");
    }

    /// <summary>Without clearing flags before places are read, or where places are read before, some order loses a report.</summary>
    [Fact]
    public void A_report_beside_a_flush_is_seen_by_it_or_by_the_next()
    {
        int orders = Interleavings.Explore(() =>
        {
            var engine = new IslandEngine();
            PeerHandle[] peers = [.. Enumerable.Range(0, 20).Select(i => engine.Add(new Position(1000 * i, 0, 0)))];
            engine.Flush();
            engine.Move(peers[3], Place(1));
            return ([() => engine.Move(peers[3], Place(2)), () => engine.Flush()], () => Assert.Contains(Place(2), Places(engine)));
        }, preemptions: 3);
        Assert.True(orders > 100, $"{orders}");
    }

    [Fact]
    public void Two_reports_beside_a_flush_of_all_are_not_lost()
    {
        Interleavings.Explore(
            () =>
            {
                var engine = new IslandEngine();
                PeerHandle a = engine.Add(Place(0)), b = engine.Add(Place(500));
                engine.Flush();
                engine.Move(a, Place(1));
                return ([() => { engine.Move(a, Place(2)); engine.Move(b, Place(600)); }, () => engine.Flush()], () =>
                    Assert.Equal([2f, 600f], Places(engine).Select(p => p.X).Order()));
            },
            preemptions: 3);
    }

    [Fact]
    public void Two_who_are_added_get_two_slots_and_an_island_each()
    {
        Interleavings.Explore(() =>
        {
            var engine = new IslandEngine();
            PeerHandle one = default, other = default;
            return ([() => one = engine.Add(Place(0)), () => other = engine.Add(Place(500))], () =>
            {
                Assert.NotEqual(one.Slot, other.Slot);
                Assert.Equal(2, engine.Flush().Changes.Length);
            });
        });
    }

    /// <summary>The head of the free list carries a counter; without it somebody who was stopped while taking a slot would hand out one that is in use.</summary>
    [Fact]
    public void A_slot_that_went_and_came_back_while_somebody_took_it_is_given_to_one()
    {
        int orders = Interleavings.Explore(
            () =>
            {
                var engine = new IslandEngine();
                PeerHandle[] gone = [engine.Add(Place(0)), engine.Add(Place(500))];
                engine.Flush();
                foreach (PeerHandle peer in gone)
                    engine.Remove(peer);
                engine.Flush();
                engine.Flush();
                PeerHandle one = default;
                var others = new List<PeerHandle>();
                return ([() => one = engine.Add(Place(1000)), () =>
                {
                    PeerHandle first = engine.Add(Place(2000));
                    others.Add(engine.Add(Place(3000)));
                    engine.Remove(first);
                    engine.Flush();
                    engine.Flush();
                }], () =>
                {
                    others.Add(one);
                    // Whatever is on the free list now belongs to nobody.
                    others.Add(engine.Add(Place(4000)));
                    others.Add(engine.Add(Place(5000)));
                    Assert.Equal(4, others.DistinctBy(o => o.Slot).Count());
                    Assert.Equal([1000f, 3000f, 4000f, 5000f], Places(engine).Select(p => p.X).Order());
                });
            },
            preemptions: 2);
        Assert.True(orders > 100, $"{orders}");
    }

    [Fact]
    public void Of_two_who_remove_a_peer_one_has()
    {
        Interleavings.Explore(() =>
        {
            var engine = new IslandEngine();
            PeerHandle peer = engine.Add(Place(0));
            engine.Flush();
            bool one = false, other = false;
            return ([() => one = engine.Remove(peer), () => other = engine.Remove(peer)], () =>
            {
                Assert.True(one ^ other);
                Assert.Empty(Places(engine));
            });
        });
    }

    /// <summary>Whoever is stopped between reading the state and writing must not write into the next peer that has the slot. Without waiting for producers, some order does.</summary>
    [Fact]
    public void A_report_beside_a_removal_never_lands_in_a_successor()
    {
        int orders = Interleavings.Explore(
            () =>
            {
                var engine = new IslandEngine();
                PeerHandle old = engine.Add(Place(0));
                engine.Flush();
                var later = new List<PeerHandle>();
                return ([() => engine.Move(old, Place(999)), () =>
                {
                    engine.Remove(old);
                    engine.Flush();
                    later.Add(engine.Add(Place(1)));
                    engine.Flush();
                    later.Add(engine.Add(Place(2)));
                }], () =>
                {
                    Assert.Equal([1f, 2f], Places(engine).Select(p => p.X).Order());
                    Assert.False(engine.Move(old, Place(5)));
                });
            },
            preemptions: 2);
        Assert.True(orders > 100, $"{orders}");
    }

    [Fact]
    public void A_wish_beside_a_removal_never_reaches_a_successor()
    {
        Interleavings.Explore(
            () =>
            {
                var engine = new IslandEngine();
                PeerHandle old = engine.Add(Place(0), new IslandId(7));
                engine.Flush();
                PeerHandle next = default;
                return ([() => engine.Prefer(old, new IslandId(9)), () =>
                {
                    engine.Remove(old);
                    engine.Flush();
                    engine.Flush();
                    next = engine.Add(Place(1));
                }], () => Assert.Equal(0, engine.Table.Preference(next.Slot)));
            },
            preemptions: 3);
    }

    /// <summary>If a lease could begin at a count of none, some order would read what is being filled.</summary>
    [Fact]
    public void A_snapshot_that_is_leased_is_never_filled_meanwhile()
    {
        int orders = Interleavings.Explore(
            () =>
            {
                var pool = new SnapshotPool();
                Fill(pool, 1);
                long first = 0, second = 0;
                return ([() =>
                {
                    using IslandSnapshot snapshot = pool.Acquire();
                    first = snapshot.Flush;
                    Interleaving.Step("reads");
                    second = (long)snapshot.Members[0].Position.X;
                }, () =>
                {
                    for (int flush = 2; flush <= 4; flush++)
                        Fill(pool, flush);
                }], () =>
                {
                    Assert.Equal(first, second);
                    Assert.InRange(pool.Count, 3, 4);
                    // No lease was lost count of: the current one is not free.
                    using IslandSnapshot current = pool.Acquire();
                    Assert.NotSame(current, pool.TakeFree());
                });
            },
            preemptions: 3);
        Assert.True(orders > 300, $"{orders}");
    }

    private static void Fill(SnapshotPool pool, int flush)
    {
        IslandSnapshot next = pool.TakeFree();
        next.Begin(flush, 1, 1, 1);
        Interleaving.Step("fills");
        next.Add(new PeerHandle(0, 1), Place(flush));
        next.EndIsland(new IslandId(1));
        pool.Publish(next);
    }

    private sealed class Tally(int chunks) : IChunkedWork
    {
        public int[] Done { get; } = new int[chunks];

        public void Do(int chunk, int lane)
        {
            int before = Done[chunk];
            Interleaving.Step("does a chunk");
            Done[chunk] = before + 1;
        }
    }

    /// <summary>Two jobs one after the other, and a helper that may be stopped anywhere on its way. Without a word of its own between jobs, some order does a chunk twice.</summary>
    [Fact]
    public void A_helper_that_is_late_does_no_chunk_twice_and_none_of_a_job_that_is_over()
    {
        int orders = Interleavings.Explore(
            () =>
            {
                var crew = new Crew(_ => { }) { Size = 2 };
                Tally first = new(2), second = new(3);
                return ([() =>
                {
                    crew.Do(first, 2);
                    Assert.Equal([1, 1], first.Done);
                    crew.Do(second, 3);
                    Assert.Equal([1, 1, 1], second.Done);
                }, () =>
                {
                    for (int i = 0; i < 2; i++)
                        crew.TryDoOne(1);
                }], () =>
                {
                    Assert.Equal([1, 1], first.Done);
                    Assert.Equal([1, 1, 1], second.Done);
                });
            },
            preemptions: 3);
        Assert.True(orders > 500, $"{orders}");
    }

    private sealed class Racy
    {
        public int Count;

        public void Add()
        {
            int before = Count;
            Interleaving.Step("writes");
            Count = before + 1;
        }
    }

    /// <summary>The scheduler itself: it finds an update that is lost, tells in which order, and goes through as many orders as there are.</summary>
    [Fact]
    public void What_can_go_wrong_is_found()
    {
        InvalidOperationException found = Assert.Throws<InvalidOperationException>(() => Interleavings.Explore(() =>
        {
            var racy = new Racy();
            return ([racy.Add, racy.Add], () => Assert.Equal(2, racy.Count));
        }));
        Assert.Contains("A begins; B begins; B writes; A writes", found.Message, StringComparison.Ordinal);
        int orders = Interleavings.Explore(() => ([() => Interleaving.Step("1"), () => { Interleaving.Step("1"); Interleaving.Step("2"); }], () => { }));
        // Two steps and three: five over two.
        Assert.Equal(10, orders);
    }
}
#endif
