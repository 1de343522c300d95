#if DEBUG
using Archipelago.Core.Internals;

namespace Archipelago.Core.Tests;

/// <summary>
/// Goes through the orders in which the steps of several operations can follow one another (<see cref="Interleaving"/>): all of them, or all with so many preemptions at most, which finds
/// nearly everything that goes wrong (Musuvathi and Qadeer, 2007). One thread runs at a time, so what is seen is what a sequentially consistent machine does; the order of plain reads and
/// writes on a weaker one is a matter of argument.
/// </summary>
internal sealed class Interleavings : IDisposable
{
    /// <summary>What runs on a thread of its own; it stops before each step until it may go on.</summary>
    private sealed class Worker
    {
        private readonly SemaphoreSlim mayGoOn = new(0);
        private readonly SemaphoreSlim stopped;
        private readonly Thread thread;
        private Action? operation;
        private volatile bool isEnding;

        public Worker(SemaphoreSlim stopped)
        {
            this.stopped = stopped;
            thread = new Thread(Run) { IsBackground = true };
            thread.Start();
        }

        public string? Next { get; private set; }

        public bool IsDone { get; private set; }

        public Exception? Failure { get; private set; }

        /// <summary>True when it can do nothing until another has done something.</summary>
        public bool IsWaiting { get; set; }

        public void Begin(Action what)
        {
            (operation, Next, IsDone, IsWaiting, Failure) = (what, "begins", false, false, null);
        }

        /// <summary>Lets it take one step, and waits until it stands before the next.</summary>
        public void Step()
        {
            mayGoOn.Release();
            stopped.Wait();
            IsWaiting = Next == Interleaving.Waits;
        }

        /// <summary>Lets it run to the end of what it is doing, if it is doing anything, and no further.</summary>
        public void End()
        {
            isEnding = true;
            operation = null;
            mayGoOn.Release();
            thread.Join();
        }

        private void Run()
        {
            Interleaving.Stepping = what =>
            {
                if (isEnding)
                    return;
                Next = what;
                stopped.Release();
                mayGoOn.Wait();
            };
            while (true)
            {
                mayGoOn.Wait();
                if (operation is not { } doing)
                    return;
                try
                {
                    doing();
                }
                catch (Exception e)
                {
                    Failure = e;
                }
                if (isEnding)
                    return;
                IsDone = true;
                stopped.Release();
            }
        }
    }

    private readonly SemaphoreSlim stopped = new(0);
    private readonly List<Worker> workers = [];

    /// <summary>By decision of the present run, which of the options was taken, and how many there were.</summary>
    private readonly List<(int Taken, int Options)> path = [];

    /// <summary>Makes the operations anew, runs them in each order, and checks what has become of it.</summary>
    /// <param name="make">A fresh state: operations, each for a thread of its own, and a check for afterwards.</param>
    /// <param name="preemptions">How often an operation that could go on may be stopped for another.</param>
    /// <returns>How many orders there were.</returns>
    public static int Explore(Func<(Action[] Operations, Action Check)> make, int preemptions = int.MaxValue)
    {
        using var all = new Interleavings();
        int orders = 0;
        do
        {
            orders++;
            Assert.True(orders < 200_000, "too many orders; allow fewer preemptions");
            (Action[] operations, Action check) = make();
            var story = new List<string>();
            try
            {
                all.Run(operations, preemptions, story);
                check();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"In order {orders}: {string.Join("; ", story)}", e);
            }
        }
        while (all.Advance());
        return orders;
    }

    private void Run(Action[] operations, int preemptions, List<string> story)
    {
        while (workers.Count < operations.Length)
            workers.Add(new Worker(stopped));
        Worker[] running = [.. workers.Take(operations.Length)];
        for (int i = 0; i < running.Length; i++)
            running[i].Begin(operations[i]);
        int current = -1, decision = 0;
        while (Array.Exists(running, w => !w.IsDone))
        {
            // Whoever ran goes on, or one of the others takes over.
            int[] options = [.. Enumerable.Range(0, running.Length).Where(i => !running[i].IsDone && !running[i].IsWaiting).OrderBy(i => i == current ? -1 : i)];
            Assert.True(options.Length > 0, "everybody waits for somebody else");
            bool goesOn = options[0] == current;
            int count = goesOn && preemptions == 0 ? 1 : options.Length;
            if (decision == path.Count)
                path.Add((0, count));
            Assert.True(path[decision].Options == count, "the same order of steps led somewhere else than before: something outside has a say");
            int next = options[path[decision++].Taken];
            if (goesOn && next != current)
                preemptions--;
            current = next;
            story.Add($"{(char)('A' + next)} {running[next].Next}");
            running[next].Step();
            // Something has happened: whoever waited may look again.
            for (int i = 0; i < running.Length; i++)
                if (i != next)
                    running[i].IsWaiting = false;
        }
        foreach (Worker worker in running)
            if (worker.Failure is { } failure)
                throw new InvalidOperationException("An operation failed.", failure);
    }

    /// <summary>The next order: the last decision that can be taken otherwise is. False when all have been tried.</summary>
    private bool Advance()
    {
        while (path.Count > 0)
        {
            (int taken, int options) = path[^1];
            path.RemoveAt(path.Count - 1);
            if (taken + 1 == options)
                continue;
            path.Add((taken + 1, options));
            return true;
        }
        return false;
    }

    public void Dispose()
    {
        foreach (Worker worker in workers)
            worker.End();
    }
}
#endif
