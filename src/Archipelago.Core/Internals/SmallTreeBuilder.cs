using System.Numerics;

namespace Archipelago.Core.Internals;

/// <summary>
/// Connects up to some hundreds of members by their shortest edges (Prim's algorithm, 1957): from one of them on, whoever is nearest to the tree is hung onto it. Each round compares all
/// who are left with the one who came last, several at once, which for so few is quicker than anything that has to be sorted first.
/// </summary>
/// <remarks>
/// Distances are in single precision. Where one is so close to the limit that rounding might decide, nothing is decided here, and what has been connected so far is for
/// <see cref="TreeBuilder"/> to complete.
/// </remarks>
internal sealed class SmallTreeBuilder
{
    private const int MostMembers = 512;

    // Those who are in no tree yet, side by side. A vector more than there can be, so that the last one may be read whole.
    private readonly float[] x = new float[MostMembers + Vector<float>.Count];
    private readonly float[] z = new float[MostMembers + Vector<float>.Count];

    /// <summary>Squared distance to the nearest in the tree, and the number of that one.</summary>
    private readonly float[] apart = new float[MostMembers + Vector<float>.Count];
    private readonly int[] nearest = new int[MostMembers + Vector<float>.Count];
    private readonly int[] member = new int[MostMembers];

    /// <summary>Connects these bodies, none of which has an edge or a set with another; false when the work is not complete.</summary>
    public bool TryBuild(World world, ReadOnlySpan<int> bodies, double distance, UnionFind sets)
    {
        double squared = distance * distance;
        var limit = new RoughLimit(squared);
        (float within, float beyond) = (limit.Within, limit.Beyond);
        if (bodies.Length > MostMembers || !float.IsFinite(beyond))
            return false;
        for (int i = 0; i < bodies.Length; i++)
        {
            Point at = world.At(bodies[i]);
            (x[i], z[i], member[i]) = (at.X, at.Z, i);
        }
        int left = bodies.Length;
        while (left > 0)
        {
            // The first of a tree, then whoever is nearest to it.
            int last = member[left - 1];
            (float lastX, float lastZ) = (x[left - 1], z[left - 1]);
            left--;
            apart.AsSpan(0, left).Fill(float.PositiveInfinity);
            while (left > 0)
            {
                int next = Nearest(left, last, lastX, lastZ);
                float length = apart[next];
                if (length > beyond)
                    break;
                (int from, int to) = (nearest[next], member[next]);
                if (!(length < within) && world.At(bodies[from]).SquaredDistance(world.At(bodies[to])) > squared)
                    return false;
                sets.TryUnion(from, to, out _);
                world.Bonds[bodies[to]].Parent = bodies[from];
                (last, lastX, lastZ) = (to, x[next], z[next]);
                left--;
                (x[next], z[next], apart[next], nearest[next], member[next]) = (x[left], z[left], apart[left], nearest[left], member[left]);
            }
        }
        return true;
    }

    /// <summary>Compares all who are left with the last that came to the tree; returns the number of the nearest to any in it.</summary>
    private int Nearest(int left, int last, float lastX, float lastZ)
    {
        var atX = new Vector<float>(lastX);
        var atZ = new Vector<float>(lastZ);
        var by = new Vector<int>(last);
        var shortest = new Vector<float>(float.PositiveInfinity);
        // What lies behind the last is nobody, and near nobody.
        new Vector<float>(float.NaN).CopyTo(x, left);
        new Vector<float>(float.PositiveInfinity).CopyTo(apart, left);
        for (int i = 0; i < left; i += Vector<float>.Count)
        {
            Vector<float> dx = new Vector<float>(x, i) - atX, dz = new Vector<float>(z, i) - atZ;
            Vector<float> length = (dx * dx) + (dz * dz), before = new(apart, i);
            Vector<int> nearer = Vector.LessThan(length, before);
            length = Vector.ConditionalSelect(nearer, length, before);
            length.CopyTo(apart, i);
            Vector.ConditionalSelect(nearer, by, new Vector<int>(nearest, i)).CopyTo(nearest, i);
            shortest = Vector.ConditionalSelect(Vector.LessThan(length, shortest), length, shortest);
        }
        float least = float.PositiveInfinity;
        for (int i = 0; i < Vector<float>.Count; i++)
            least = Math.Min(least, shortest[i]);
        int next = 0;
        while (next < left - 1 && apart[next] != least)
            next++;
        return next;
    }
}
