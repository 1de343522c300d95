namespace Archipelago.Ethereum.Internals;

/// <summary>A point of y² = x³ + 7 with x and y as they are.</summary>
internal readonly struct AffinePoint(UInt256 x, UInt256 y)
{
    public readonly UInt256 X = x, Y = y;

    public AffinePoint Negate() => new(X, Field.Negate(Y));

    /// <summary>λ times the point.</summary>
    public AffinePoint Turn() => new(Field.Multiply(X, Field.Beta), Y);
}

/// <summary>
/// A point in Jacobian coordinates: x = X/Z², y = Y/Z³, infinity when Z is 0. Formulas: Bernstein and Lange, Explicit-Formulas Database,
/// short Weierstrass with a = 0: dbl-2009-l, add-2007-bl and madd-2007-bl.
/// </summary>
internal readonly struct JacobianPoint(UInt256 x, UInt256 y, UInt256 z)
{
    public readonly UInt256 X = x, Y = y, Z = z;

    public static JacobianPoint Infinity => default;

    public bool IsInfinity => Z.IsZero;

    public static JacobianPoint From(in AffinePoint p) => new(p.X, p.Y, Field.One);

    public JacobianPoint Negate() => new(X, Field.Negate(Y), Z);

    /// <summary>λ times the point.</summary>
    public JacobianPoint Turn() => new(Field.Multiply(X, Field.Beta), Y, Z);

    public JacobianPoint Double()
    {
        UInt256 a = Field.Square(X), b = Field.Square(Y), c = Field.Square(b);
        UInt256 d = Field.Double(Field.Subtract(Field.Subtract(Field.Square(Field.Add(X, b)), a), c));
        UInt256 e = Field.Add(Field.Double(a), a);
        UInt256 x3 = Field.Subtract(Field.Square(e), Field.Double(d));
        UInt256 eightC = Field.Double(Field.Double(Field.Double(c)));
        UInt256 y3 = Field.Subtract(Field.Multiply(e, Field.Subtract(d, x3)), eightC);
        return new JacobianPoint(x3, y3, Field.Double(Field.Multiply(Y, Z)));
    }

    public JacobianPoint Add(in AffinePoint other)
    {
        if (IsInfinity)
            return From(other);
        UInt256 zz = Field.Square(Z);
        UInt256 u2 = Field.Multiply(other.X, zz);
        UInt256 s2 = Field.Multiply(Field.Multiply(other.Y, Z), zz);
        return AddScaled(X, Y, u2, s2, Z);
    }

    public JacobianPoint Add(in JacobianPoint other)
    {
        if (IsInfinity)
            return other;
        if (other.IsInfinity)
            return this;
        UInt256 z1z1 = Field.Square(Z), z2z2 = Field.Square(other.Z);
        UInt256 u1 = Field.Multiply(X, z2z2), u2 = Field.Multiply(other.X, z1z1);
        UInt256 s1 = Field.Multiply(Field.Multiply(Y, other.Z), z2z2);
        UInt256 s2 = Field.Multiply(Field.Multiply(other.Y, Z), z1z1);
        return AddScaled(u1, s1, u2, s2, Field.Multiply(Z, other.Z));
    }

    /// <summary>Adds two points brought to a common denominator <paramref name="z"/>.</summary>
    private JacobianPoint AddScaled(in UInt256 u1, in UInt256 s1, in UInt256 u2, in UInt256 s2, in UInt256 z)
    {
        UInt256 h = Field.Subtract(u2, u1), r = Field.Subtract(s2, s1);
        if (h.IsZero)
            return r.IsZero ? Double() : Infinity;
        UInt256 hh = Field.Square(h), hhh = Field.Multiply(h, hh), v = Field.Multiply(u1, hh);
        UInt256 x3 = Field.Subtract(Field.Subtract(Field.Square(r), hhh), Field.Double(v));
        UInt256 y3 = Field.Subtract(Field.Multiply(r, Field.Subtract(v, x3)), Field.Multiply(s1, hhh));
        return new JacobianPoint(x3, y3, Field.Multiply(h, z));
    }

    public AffinePoint ToAffine()
    {
        UInt256 inverse = Field.Invert(Z), squared = Field.Square(inverse);
        return new AffinePoint(Field.Multiply(X, squared), Field.Multiply(Y, Field.Multiply(squared, inverse)));
    }
}
