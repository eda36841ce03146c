import java.text.Normalizer
import java.util.Locale

/** What BERT's normaliser does to a text, for a tokeniser that keeps accents and capitals. */
fun normaliseForApp(text: String): String {
    val cleaned = StringBuilder()
    text.codePoints().forEach { point ->
        when {
            isSpace(point) -> cleaned.append(' ')
            isDropped(point) -> Unit
            isIdeograph(point) -> cleaned.append(' ').appendCodePoint(point).append(' ')
            else -> cleaned.appendCodePoint(point)
        }
    }
    val plain = StringBuilder()
    Normalizer.normalize(cleaned, Normalizer.Form.NFD).codePoints().forEach { point ->
        if (Character.getType(point) != Character.NON_SPACING_MARK.toInt()) {
            // one by one: in a whole word a last Σ would become ς
            plain.append(String(Character.toChars(point)).lowercase(Locale.ROOT))
        }
    }
    return plain.toString()
}

private fun isSpace(point: Int): Boolean =
    point == 0x09 || point == 0x0A || point == 0x0D ||
        when (Character.getType(point).toByte()) {
            Character.SPACE_SEPARATOR, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR -> true
            else -> false
        }

private fun isDropped(point: Int): Boolean =
    point == 0x00 || point == 0xFFFD ||
        when (Character.getType(point).toByte()) {
            Character.CONTROL, Character.FORMAT, Character.PRIVATE_USE, Character.SURROGATE -> true
            else -> false
        }

private fun isIdeograph(point: Int): Boolean =
    point in 0x3400..0x4DBF || point in 0x4E00..0x9FFF || point in 0xF900..0xFAFF ||
        point in 0x20000..0x2A6DF || point in 0x2A700..0x2B81F || point in 0x2B920..0x2CEAF ||
        point in 0x2F800..0x2FA1F
