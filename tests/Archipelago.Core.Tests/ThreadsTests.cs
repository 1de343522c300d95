using System.Globalization;
using Archipelago.Core.Internals;

namespace Archipelago.Core.Tests;

/// <summary>A flush on several threads.</summary>
public class ThreadsTests
{
    [Theory]
    [InlineData(CrowdPolicy.Plain)]
    [InlineData(CrowdPolicy.Coherent)]
    public void The_outcome_is_the_same_on_any_number_of_threads(CrowdPolicy policy)
    {
        for (int seed = 0; seed < 24; seed++)
        {
            List<string> alone = Run(seed, policy, 1);
            Assert.Equal(alone, Run(seed, policy, 2));
            Assert.Equal(alone, Run(seed, policy, 4));
        }
    }

    /// <summary>A world in which most walk, then few do, then most again; people come, go, and meet in one place by the hundred.</summary>
    private static List<string> Run(int seed, CrowdPolicy policy, int threads)
    {
        var random = new Random(seed);
        using var engine = new IslandEngine(new IslandOptions { MaxIslandSize = 5 + random.Next(40), Crowds = policy, CrowdMovesPerFlush = 1 }) { FlushThreads = threads };
        int count = 150 + random.Next(250);
        float side = MathF.Sqrt(count) * (20 + random.Next(120));
        var names = new Dictionary<PeerHandle, int>();
        var people = new List<(PeerHandle Peer, Position At)>();
        var outcome = new List<string>();
        Position Anywhere(float within) => new(within * random.NextSingle(), 0, within * random.NextSingle());
        for (int tick = 0; tick < 60; tick++)
        {
            int coming = tick == 0 ? count : random.Next(4);
            for (int i = 0; i < coming; i++)
            {
                Position at = Anywhere(side);
                PeerHandle peer = engine.Add(at);
                names[peer] = names.Count;
                people.Add((peer, at));
            }
            for (int i = random.Next(3); i > 0; i--)
            {
                int who = random.Next(people.Count);
                engine.Remove(people[who].Peer);
                people.RemoveAt(who);
            }
            bool busy = tick is < 20 or > 40, meet = tick == 50;
            for (int i = 0; i < people.Count; i++)
            {
                if (random.Next(busy ? 10 : 100) >= 7 && !meet)
                    continue;
                Position from = people[i].At;
                Position to = meet ? Anywhere(60) : new Position(from.X + (12 * (random.NextSingle() - 0.5f)), 0, from.Z + (12 * (random.NextSingle() - 0.5f)));
                people[i] = people[i] with { At = to };
                engine.Move(people[i].Peer, to);
            }
            foreach (IslandChange change in (random.Next(5) == 0 ? engine.FlushNewcomers() : engine.Flush()).Changes)
                outcome.Add(string.Create(CultureInfo.InvariantCulture, $"{tick}: {names[change.Peer]} {change.From} {change.To} {change.Cause}"));
        }
        return outcome;
    }

    [Fact]
    public void Numbers_that_make_no_sense_are_refused()
    {
        using var engine = new IslandEngine();
        Assert.Throws<ArgumentOutOfRangeException>(() => engine.FlushThreads = 0);
        Assert.Throws<ArgumentOutOfRangeException>(() => engine.FlushThreads = IslandEngine.MaxFlushThreads + 1);
        Assert.Equal(1, engine.FlushThreads);
    }

    private sealed class Counting(int chunks, int lanes) : IChunkedWork
    {
        private readonly int[] done = new int[chunks];
        private readonly int[] laneIn = new int[8];

        public void Do(int chunk, int lane)
        {
            Assert.InRange(lane, 0, lanes - 1);
            Assert.Equal(1, Interlocked.Increment(ref laneIn[lane]));
            Interlocked.Increment(ref done[chunk]);
            Interlocked.Decrement(ref laneIn[lane]);
        }

        public bool IsEachDone(int times) => Array.TrueForAll(done, n => n == times);
    }

    [Fact]
    public void Each_chunk_is_done_once_by_whoever_is_free_and_no_lane_has_two_threads()
    {
        var crew = new Crew();
        for (int job = 0; job < 20_000; job++)
        {
            crew.Size = 1 + (job / 3 % 5);
            var work = new Counting(1 + (job % 7), crew.Size);
            crew.Do(work, 1 + (job % 7));
            Assert.True(work.IsEachDone(1));
        }
    }

    private sealed class Failing : IChunkedWork
    {
        public void Do(int chunk, int lane)
        {
            if (chunk == 3)
                throw new InsufficientMemoryException("for the test");
        }
    }

    [Fact]
    public void What_fails_on_any_thread_fails_the_job_and_the_next_one_is_done()
    {
        var crew = new Crew { Size = 3 };
        for (int i = 0; i < 100; i++)
        {
            Assert.Throws<InsufficientMemoryException>(() => crew.Do(new Failing(), 6));
            var work = new Counting(5, 3);
            crew.Do(work, 5);
            Assert.True(work.IsEachDone(1));
        }
    }

    [Fact]
    public void Where_nobody_can_be_asked_to_come_the_caller_does_it_alone()
    {
        var crew = new Crew(_ => throw new InsufficientMemoryException("for the test")) { Size = 3 };
        for (int i = 0; i < 3; i++)
        {
            var work = new Counting(5, 1);
            crew.Do(work, 5);
            Assert.True(work.IsEachDone(1));
        }
    }

    private sealed class Waiting(int chunks) : IChunkedWork
    {
        private readonly TaskCompletionSource<int> other = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Lanes => other.Task.IsCompletedSuccessfully ? 2 : 1;

        public void Do(int chunk, int lane)
        {
            if (lane > 0)
                other.TrySetResult(lane);
            else if (chunk < chunks - 1)
                other.Task.Wait(TimeSpan.FromSeconds(20));
        }
    }

    /// <summary>The caller waits in its first chunk until somebody else has taken one: so somebody does.</summary>
    [Fact]
    public void A_helper_comes()
    {
        var crew = new Crew { Size = 2 };
        var work = new Waiting(4);
        crew.Do(work, 4);
        Assert.Equal(2, work.Lanes);
    }
}
