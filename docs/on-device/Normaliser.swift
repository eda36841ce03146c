import Foundation

/// What BERT's normaliser does to a text, for a tokeniser that keeps accents and capitals.
func normaliseForApp(_ text: String) -> String {
    var cleaned = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        if isSpace(scalar) {
            cleaned.append(" ")
        } else if isIdeograph(scalar) {
            cleaned.append(contentsOf: [" ", scalar, " "])
        } else if !isDropped(scalar) {
            cleaned.append(scalar)
        }
    }
    var plain = ""
    for scalar in String(cleaned).decomposedStringWithCanonicalMapping.unicodeScalars
    where scalar.properties.generalCategory != .nonspacingMark {
        // one by one: in a whole word a last Σ would become ς
        plain.append(scalar.properties.lowercaseMapping)
    }
    return plain
}

private func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    if scalar == "\t" || scalar == "\n" || scalar == "\r" { return true }
    switch scalar.properties.generalCategory {
    case .spaceSeparator, .lineSeparator, .paragraphSeparator: return true
    default: return false
    }
}

private func isDropped(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value == 0 || scalar.value == 0xFFFD { return true }
    switch scalar.properties.generalCategory {
    case .control, .format, .privateUse, .surrogate: return true
    default: return false
    }
}

private func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF,
        0x2A700...0x2B81F, 0x2B920...0x2CEAF, 0x2F800...0x2FA1F:
        return true
    default:
        return false
    }
}
