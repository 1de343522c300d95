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
    /// <summary>What runs on a thread of its own, and before each step asks who is next.</summary>
    private sealed class Worker
    {
        private readonly SemaphoreSlim mayGoOn = new(0);
        private readonly Interleavings all;
        private readonly Thread thread;
        private Action? operation;
        private volatile bool isEnding;

        public Worker(Interleavings all)
        {
            this.all = all;
            thread = new Thread(Run) { IsBackground = true };
            thread.Start();
        }

        /// <summary>What it does when it goes on.</summary>
        public string Next { get; private set; } = "";

        public bool IsDone { get; private set; }

        public Exception? Failure { get; private set; }

        /// <summary>True when it can do nothing until another has done something.</summary>
        public bool IsWaiting { get; set; }

        public void Begin(Action what) => (operation, Next, IsDone, IsWaiting, Failure) = (what, "begins", false, false, null);

        public void GoOn() => mayGoOn.Release();

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
            Interleaving.Stepping = Step;
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
                all.HandOver(this);
            }
        }

        private void Step(string what)
        {
            if (isEnding)
                return;
            Next = what;
            if (all.HandOver(this))
                mayGoOn.Wait();
        }
    }

    private readonly SemaphoreSlim over = new(0);
    private readonly List<Worker> workers = [];
    private readonly List<string> story = [];

    // One thread runs at a time, and hands these over with the turn.
    private Worker[] running = [];
    private int current;
    private int decision;
    private int preemptions;
    private Exception? fault;

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
            try
            {
                all.Run(operations, preemptions);
                check();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"In order {orders}: {string.Join("; ", all.story)}", e);
            }
        }
        while (all.Advance());
        return orders;
    }

    private void Run(Action[] operations, int mostPreemptions)
    {
        while (workers.Count < operations.Length)
            workers.Add(new Worker(this));
        running = [.. workers.Take(operations.Length)];
        for (int i = 0; i < running.Length; i++)
            running[i].Begin(operations[i]);
        (current, decision, preemptions) = (-1, 0, mostPreemptions);
        story.Clear();
        Choose();
        running[current].GoOn();
        over.Wait();
        if (fault is not null)
            throw new InvalidOperationException("The scheduler is at its wits' end.", fault);
        foreach (Worker worker in running)
            if (worker.Failure is { } failure)
                throw new InvalidOperationException("An operation failed.", failure);
    }

    /// <summary>Called by the one who runs, before each step and at its end. True when it is another's turn now.</summary>
    private bool HandOver(Worker by)
    {
        // Something has happened: whoever waited may look again.
        foreach (Worker worker in running)
            worker.IsWaiting = worker == by && worker.Next == Interleaving.Waits;
        if (Array.TrueForAll(running, w => w.IsDone))
        {
            over.Release();
            return true;
        }
        try
        {
            Choose();
        }
        catch (Exception e)
        {
            fault = e;
            over.Release();
            return true;
        }
        if (running[current] == by)
            return false;
        running[current].GoOn();
        return true;
    }

    /// <summary>Decides whose turn it is: whoever ran goes on, or one of the others takes over.</summary>
    private void Choose()
    {
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
