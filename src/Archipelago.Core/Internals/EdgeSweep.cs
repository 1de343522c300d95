using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Archipelago.Core.Internals;

/// <summary>
/// Measures every edge of every tree, and every pair of whom one watches the other, in one pass over the bodies: while many move that is cheaper than circles, which would be left and
/// drawn again all the time.
/// </summary>
/// <remarks>
/// Four distances a body, in single precision and all at once; only what comes so close to its limit that rounding might matter is measured again in double precision. Whoever has
/// fewer than four others is compared with nobody (<see cref="Point.Nowhere"/>), which is neither near nor far, so that there is nothing to be decided one by one.
/// </remarks>
internal sealed class EdgeSweep(World world, Crew crew) : IChunkedWork
{
    private readonly BodyMarks suspicious = new();
    private double leave;
    private double join;

    /// <summary>Replaces edges that have become too long, or lists their islands, and lets those look around who have come near to somebody they watch.</summary>
    public void Run(NeighbourIndex neighbours, IslandOptions rules)
    {
        leave = rules.LeaveDistance * rules.LeaveDistance;
        join = rules.JoinDistance * rules.JoinDistance;
        suspicious.Reset(world.Map.Top);
        crew.Do(this, suspicious.Chunks);
        for (int body = suspicious.Next(-1); body >= 0; body = suspicious.Next(body))
            Measure(neighbours, body);
    }

    public void ReleaseScratch() => suspicious.Release();

    void IChunkedWork.Do(int chunk, int lane)
    {
        float far = -new RoughLimit(leave).Within, near = new RoughLimit(join).Beyond;
        Vector128<float> limit = Vector128.Create(near), lastLimits = Vector128.Create(near, near, far, far), signs = Vector128.Create(1f, 1f, -1f, -1f);
        // A place is two floats, which move about as one word.
        ReadOnlySpan<long> places = MemoryMarshal.Cast<Point, long>(world.Places);
        ReadOnlySpan<Bonds> bonds = world.Bonds.AsSpan(0, places.Length - 1);
        Span<ulong> words = suspicious.Words;
        (int word, int end) = suspicious.WordsOf(chunk);
        for (; word < end; word++)
        {
            (int body, int last) = suspicious.BodiesOf(word);
            ulong marks = 0;
            for (; body < last; body++)
            {
                ref readonly Bonds to = ref bonds[body];
                Vector128<float> here = Vector128.Create(places[body + 1]).AsSingle();
                Vector128<float> one = Vector128.Create(places[to.Watched[0] + 1], places[to.Watched[1] + 1]).AsSingle() - here;
                Vector128<float> other = Vector128.Create(places[to.Watched[2] + 1], places[to.Parent + 1]).AsSingle() - here;
                // The edge's distance counts from above, as a negative number.
                Vector128<float> close = Vector128.LessThanOrEqual(Squared(one), limit) | Vector128.LessThanOrEqual(Squared(other) * signs, lastLimits);
                if (close.AsInt32() != Vector128<int>.Zero)
                    marks |= 1UL << body;
            }
            words[word] = marks;
        }
    }

    /// <summary>The squares of both lengths, each twice.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Squared(Vector128<float> differences)
    {
        Vector128<float> squares = differences * differences;
        return squares + Vector128.Shuffle(squares, Vector128.Create(1, 0, 3, 2));
    }

    private void Measure(NeighbourIndex neighbours, int body)
    {
        Point at = world.At(body);
        if (at.SquaredDistance(world.At(world.Bonds[body].Parent)) > leave && !SplitPass.TryMend(world, body, leave))
            world.Touch(world.Bodies[body].Island, Pending.Rebuild);
        for (int i = Watches.Most - 1; i >= 0; i--)
            if (at.SquaredDistance(world.At(world.Bonds[body].Watched[i])) <= join)
                neighbours.CameNear(world, body, i);
    }
}
